"""Brokers for the demo and the tests: the embedded one, and Apache's own jars."""

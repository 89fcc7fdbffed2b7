"""The fault campaign: real processes on a real Kafka, killed, stopped, woken up and starved."""

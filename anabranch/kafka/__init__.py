"""Kafka as followers and learners need it: clients, librdkafka's faults in words, and what lies on the topics."""

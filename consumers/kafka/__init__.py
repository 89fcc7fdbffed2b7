"""The learner's side of Kafka: the events topic as a source, the outlet, control, topics."""

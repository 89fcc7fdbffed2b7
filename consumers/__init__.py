"""The processes that consume Kafka: the learning loop, the guard before it, checkpoints, replay of log ranges."""

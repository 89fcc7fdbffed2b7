"""What a record must be to reach a model."""

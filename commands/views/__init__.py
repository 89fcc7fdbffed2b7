"""What the verbs show."""

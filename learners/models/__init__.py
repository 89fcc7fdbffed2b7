"""Models by name, what a task asks of them, and the one place where their predictions come in."""

"""What learns: champion, shadows, the arena between them, and the lane that an event goes through."""

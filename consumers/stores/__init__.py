"""Where checkpoints lie: a folder, an object store, or memory."""

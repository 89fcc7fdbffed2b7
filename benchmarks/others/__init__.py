"""The same work done by others: each script runs in an environment of its own (`make others`), without Anabranch."""

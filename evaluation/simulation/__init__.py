"""The learning loop through crashes, takeovers and faults, over a log and a store in memory: one seed, one schedule."""

"""Carries out retraining jobs: at once, or each in a process of its own."""

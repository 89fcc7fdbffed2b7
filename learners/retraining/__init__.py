"""Retraining: which plans, on which records, and how recruits are made."""

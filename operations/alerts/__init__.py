"""Alerts: when a model needs somebody's look, by `[alerts]`, and how they are told."""

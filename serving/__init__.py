"""Scoring: answers requests over HTTP, by the models that it follows."""

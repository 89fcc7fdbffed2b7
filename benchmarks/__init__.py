"""Measurements, always as ratios in one run on the same work: `make bench`."""

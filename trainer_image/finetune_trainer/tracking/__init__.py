"""Sends a run's metrics to experiment trackers, beside the training."""

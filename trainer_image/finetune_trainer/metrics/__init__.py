"""Metrics of the `evaluate` library, with nothing downloaded."""

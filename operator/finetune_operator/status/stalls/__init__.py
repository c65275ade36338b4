"""A training that runs and does not get on: no step is done, or no report arrives."""

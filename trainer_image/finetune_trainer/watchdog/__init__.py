"""Watches the processes of a run from outside, and ends a run that does not move any more."""

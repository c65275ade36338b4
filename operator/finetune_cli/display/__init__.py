"""How a job looks in a terminal: pure, from snapshots to what rich prints."""

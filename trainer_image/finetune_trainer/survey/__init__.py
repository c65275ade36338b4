"""`prepare`: what can be known of a run in seconds."""

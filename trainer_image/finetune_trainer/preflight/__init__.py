"""What can be known of a run before its first step: found out by each run, and by `prepare` alone."""

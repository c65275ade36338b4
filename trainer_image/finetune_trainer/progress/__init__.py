"""What a run reports while it trains: history, checkpoints, state, bar. Engines see `events` alone."""

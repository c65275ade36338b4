"""One run from start to end: load, check, train, export."""

"""The engines: each trains the same prepared run, and reports the same events. `registry` has a row for each."""

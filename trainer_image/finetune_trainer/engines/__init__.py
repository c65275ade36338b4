"""One file an engine. Each trains the same prepared run and tells the same recorder."""

"""One file a task: from rows to what an engine trains on."""

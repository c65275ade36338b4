"""The control loop: what Kopf's watch delivers, one pass for one FineTuneJob, and the writes of its children."""

"""What the pods have reported, as far as the status takes it."""

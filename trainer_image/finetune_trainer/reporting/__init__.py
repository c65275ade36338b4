"""What the trainer says while it runs and at its end."""

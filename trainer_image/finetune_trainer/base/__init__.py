"""What everything else builds on: errors, hardware, redaction, signals. Imports nothing of the other rooms."""

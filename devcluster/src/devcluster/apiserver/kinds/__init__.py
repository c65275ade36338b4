"""What the API server knows of each kind: defaults, checks, what may not change; custom ones from their definitions."""

"""A Kubernetes API server in memory, spoken to over HTTPS as the real one is."""

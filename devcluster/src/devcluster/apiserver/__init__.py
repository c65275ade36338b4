"""A Kubernetes API server in memory, which serves HTTPS as a real one does."""

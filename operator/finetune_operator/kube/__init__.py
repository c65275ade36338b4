"""The Kubernetes API: requests, caches by list and watch, the work queue, and Events."""

"""The page: jobs, curves and comparisons in a browser. It shows and does what the user of a kubeconfig, or of a token, may; it has no rights of its own."""

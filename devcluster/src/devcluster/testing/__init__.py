"""What tests need to run on the dev cluster or on a real control plane: a pytest plugin, and a plain HTTP client."""

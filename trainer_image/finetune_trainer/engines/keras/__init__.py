"""The engine `keras`: KerasHub on torch."""

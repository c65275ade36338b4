"""`finetune`, the command line: also `kubectl finetune`. What it does to the cluster is the Python client's; this shows and asks."""

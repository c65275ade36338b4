"""The trainer: reads one `run.yaml`, trains, and says how it goes. `python -m finetune_trainer --config run.yaml`."""

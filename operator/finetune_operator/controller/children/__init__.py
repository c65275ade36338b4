"""The children of a FineTuneJob: made, kept in step, restored, and taken away. `ensure` says which is next."""

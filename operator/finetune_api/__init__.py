"""The contract between users, the operator and the trainer. Imports pydantic and nothing else of ours.

`v1alpha1` is the FineTuneJob; `run` the one file that the trainer reads; `report` what the trainer says back.
"""

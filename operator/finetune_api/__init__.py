"""The contract between users, the operator and the trainer. Imports pydantic and nothing else of ours.

`v1alpha1` is the FineTuneJob, `run` the file that the trainer reads, `report` what the trainer sends back, `reasons` every
reason that a status shows. A rule between fields is written once, as a `rules.Rule`; `crd` and `policy` are generated.
"""

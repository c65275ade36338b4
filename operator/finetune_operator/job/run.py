"""Which run of a FineTuneJob is the present one, and whether another is asked for. Nothing but `spec.runToken` ever asks."""

from finetune_api.status import FineTuneJobStatus, Run


def present_run(status: FineTuneJobStatus, generation: int, token: str | None) -> Run:
    """The run that the status is about. `token` is that of the spec, and `generation` the spec's."""
    if status.run is not None:
        return status.run
    # An operator from before there were runs wrote this status. A token that is newer than its last look asks for another run.
    is_newer = status.phase is not None and generation > (status.observed_generation or 0)
    return Run(token=None if is_newer else token)


def has_begun(status: FineTuneJobStatus) -> bool:
    """Whether anything was made for the run, or it has ended: a job keeps its profile before its first child is made."""
    return status.profile is not None or status.phase not in (None, "Pending")

"""Which run of a FineTuneJob is the present one, and whether another is asked for. Nothing but `spec.runToken` ever asks."""

from finetune_api.outputs import RUNS
from finetune_api.status import FineTuneJobStatus, Run
from finetune_operator.job.names import short_uid


def present_run(status: FineTuneJobStatus, generation: int, token: str | None) -> Run:
    """The run that the status is about. `token` is that of the spec, and `generation` the spec's."""
    if status.run is not None:
        return status.run
    # An operator from before there were runs wrote this status. A token that is newer than its last look asks for another run.
    is_newer = status.phase is not None and generation > (status.observed_generation or 0)
    return Run(token=None if is_newer else token)


def output_uri(uri: str | None, claim: str, run: int, job_uid: str) -> str:
    """Where a run writes: the user's place, or the claim that we make. Each run after the first has a folder of its own in it.

    Args:
        uri: `spec.output.uri`; None where the job has a claim of its own.
        claim: Name of that.
        run: Number of the run, from 1.
        job_uid: Of the FineTuneJob: one that was deleted and created again counts from 1 again, in a place that may be the same.
    """
    if uri is None:
        return f"pvc://{claim}" if run == 1 else f"pvc://{claim}/{RUNS}/{run}"
    if run == 1 or uri.startswith("hf://"):
        return uri
    return f"{uri.rstrip('/')}/{RUNS}/{run}-{short_uid(job_uid)}"


def has_begun(status: FineTuneJobStatus) -> bool:
    """Whether anything was made for the run, or it has ended: a job keeps its profile before its first child is made."""
    return status.profile is not None or status.phase not in (None, "Pending")

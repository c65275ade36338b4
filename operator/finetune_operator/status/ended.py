"""The status of a job that has ended: it stays as it is. Known later are only that its claim is deleted, what its last pods used, and who was told of the end."""

from finetune_api.status import FineTuneJobStatus
from finetune_api.values import MAX_MESSAGE


def status_after_the_end(ended: FineTuneJobStatus, generation: int, released: str | None) -> FineTuneJobStatus:
    """The status, which is about this generation of the spec, too. `released` is the claim that was deleted; see `Observation`."""
    # GitOps tools take an older observedGeneration for work that is still to come.
    after = ended.model_copy(update={"observed_generation": generation})
    return after if released is None else without_claim(after, released)


def without_claim(status: FineTuneJobStatus, claim: str) -> FineTuneJobStatus:
    """The status without the folder of a run that has none and the logs in it, which says that the claim is deleted, if there was one.

    Kubernetes takes it away when no pod is there that names it, ended ones included.
    """
    attempts = [each.model_copy(update={"log": None}) for each in status.attempts]
    run = status.run and status.run.model_copy(update={"output": None})
    after = status.model_copy(update={"run": run, "attempts": attempts})
    if not claim:
        return after
    tail = f"; nothing was saved, so the claim {claim} made for the output is deleted (it goes with its last pod)"
    message = f"{(status.message or '')[: MAX_MESSAGE - len(tail)]}{tail}"
    conditions = [
        each.model_copy(update={"message": message}) if each.message == status.message else each
        for each in status.conditions
    ]
    return after.model_copy(update={"message": message, "conditions": conditions})

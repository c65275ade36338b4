"""What a FineTuneJob asks for, read without trust: as its user wrote it, and with what its profile gives."""

from pydantic import ValidationError

from finetune_api.base import JsonObject
from finetune_api.profile import ProfileSettings
from finetune_api.v1alpha1 import FineTuneJobSpec
from finetune_operator.job.effective_spec import effective_spec
from finetune_operator.job.names import UNREADABLE


def read_specs(
    raw: JsonObject, kept: ProfileSettings | None, own: FineTuneJobSpec | None
) -> tuple[FineTuneJobSpec | None, FineTuneJobSpec | None, str]:
    """The spec as it is written, which may be known as `own`; with what the profile gives; and why it is not there, or cannot be read."""
    problems = ""
    if own is None:
        own, problems = _read_spec(raw)
    if own is None or kept is None:
        return own, own, problems
    return own, *held_to_profile(own, kept, raw["metadata"]["namespace"], raw["metadata"]["name"])


def held_to_profile(
    own: FineTuneJobSpec, kept: ProfileSettings, namespace: str, name: str
) -> tuple[FineTuneJobSpec | None, str]:
    """The spec with what its profile gives, or None and why it cannot be read."""
    try:
        return effective_spec(own, kept, namespace, name), ""
    except ValidationError as error:
        return None, _describe(error)


def _read_spec(raw: JsonObject) -> tuple[FineTuneJobSpec | None, str]:
    """The spec as it is written, or None and why it cannot be read."""
    unreadable = raw.get(UNREADABLE) or {}
    try:
        # The API server drops what its CRD does not know: what this operator does not know is from a newer CRD,
        # and may be a default that no user wrote.
        return FineTuneJobSpec.model_validate(raw.get("spec"), extra="ignore"), ""
    except ValidationError as error:
        return None, f"spec: {unreadable['spec']}" if "spec" in unreadable else _describe(error)


def _describe(error: ValidationError) -> str:
    """One line for people: `spec.training.epochs: Input should be greater than 0`, at most four such."""
    problems = [
        f"{'.'.join(['spec', *map(str, problem['loc'])])}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    more = f"; and {len(problems) - 4} more" if len(problems) > 4 else ""
    return "; ".join(problems[:4]) + more

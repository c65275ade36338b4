"""Which FineTuneProfile is a FineTuneJob's own, and what the job keeps of it."""

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydantic import ValidationError

from finetune_api.base import JsonObject
from finetune_api.profile import (
    DEFAULT_NAME,
    NAMESPACE_LABEL,
    OPEN,
    FineTuneProfileSpec,
    ProfileSettings,
)
from finetune_api.profile_rules import Request
from finetune_api.profile_table import violation
from finetune_api.reasons import Reason
from finetune_api.status import MAX_PROFILE_SETTINGS, AppliedProfile
from finetune_operator.job.effective_spec import effective_spec
from finetune_operator.job.names import UNREADABLE

NO_PROFILE: Final = ProfileSettings(defaults=OPEN.defaults)
"""Of a job that began before there were profiles."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Refusal:
    """Why a job does not get its profile, or does not run under it."""

    reason: Reason
    message: str
    final: bool
    """Whether nothing but another job helps. If not, the profile may come or be corrected."""


def apply_profile(
    request: Request, raw: JsonObject | None, built_in: FineTuneProfileSpec, *, running: bool = False
) -> AppliedProfile | Refusal:
    """Check a job by the rules of its profile, and return what it keeps of it for its status.

    Args:
        raw: The FineTuneProfile of the name that `request.profile` has, if there is one.
        built_in: Holds for jobs of the profile `default` where there is no such object.
        running: The job was taken long ago: it is held to the limits, and no longer refused.
    """
    name = request.profile
    if raw is None and name != DEFAULT_NAME:
        return Refusal(
            Reason.PROFILE_NOT_FOUND, f"there is no FineTuneProfile {name}, {_chosen_by(request)}", final=False
        )
    if raw is not None and "spec" in (raw.get(UNREADABLE) or {}):
        # Without its limits it must not be taken for one that has none.
        return Refusal(
            Reason.INVALID_PROFILE, f"FineTuneProfile {name}: its spec {raw[UNREADABLE]['spec']}", final=False
        )
    try:
        profile, settings, text = (
            _kept_of(built_in) if raw is None else _read_profile(json.dumps(raw.get("spec") or {}))
        )
        effective_spec(request.spec, settings, request.namespace, request.name)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, wrong["loc"]))
        return Refusal(Reason.INVALID_PROFILE, f"FineTuneProfile {name}: {where}: {wrong['msg']}", final=False)
    if not running and (problem := violation(request, profile)):
        return Refusal(Reason.POLICY_VIOLATION, problem, final=True)
    if len(text) > MAX_PROFILE_SETTINGS:
        message = (
            f"FineTuneProfile {name} has {len(text)} characters beside allow, and at most {MAX_PROFILE_SETTINGS} fit"
        )
        return Refusal(Reason.INVALID_PROFILE, message, final=False)
    generation = None if raw is None else raw["metadata"].get("generation")
    return AppliedProfile(name=name, generation=generation, digest=_digest(text), settings=text)


@lru_cache(maxsize=64)
def _read_profile(text: str) -> tuple[FineTuneProfileSpec, ProfileSettings, str]:
    """The profile of this spec, for all its jobs. Raises ValidationError."""
    return _kept_of(FineTuneProfileSpec.model_validate(json.loads(text), extra="ignore"))


def _kept_of(profile: FineTuneProfileSpec) -> tuple[FineTuneProfileSpec, ProfileSettings, str]:
    """A profile, what its jobs keep of it, and that as JSON."""
    settings = ProfileSettings(**{field: getattr(profile, field) for field in ProfileSettings.model_fields})
    return profile, settings, json.dumps(settings.to_wire(), sort_keys=True, separators=(",", ":"))


def kept_settings(applied: AppliedProfile) -> ProfileSettings | None:
    """Return what a job keeps of its profile; None if somebody changed it, or this operator cannot read it."""
    return _read_settings(applied.settings, applied.digest)


@lru_cache(maxsize=64)
def _read_settings(text: str, digest: str) -> ProfileSettings | None:
    # All jobs of a profile have the same ones.
    if _digest(text) != digest:
        return None
    try:
        return ProfileSettings.model_validate_json(text, extra="ignore")
    except ValidationError:
        return None


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _chosen_by(request: Request) -> str:
    return (
        "which spec.profile names" if request.spec.profile else f"which the namespace's label {NAMESPACE_LABEL} names"
    )

"""By what the operator knows later what it wrote itself: an HMAC by a key that nobody else can read.

Whoever may write a status could name any profile there, and whoever may create Jobs could make one with the name, label and owner
of a FineTuneJob's. Neither can make a proof.
"""

import hmac
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from finetune_api.status import AppliedProfile

_JOB_DIGITS: Final = 32
"""Hexadecimal ones of a Job's proof, of which the caches keep one for each Job."""


def prove_profile(applied: AppliedProfile, uid: str, run: int, key: bytes) -> AppliedProfile:
    """Return it with the proof that the operator gave it to this run of the job of this uid."""
    return applied.model_copy(update={"proof": _proof(applied, uid, run, key)})


def prove_older(applied: AppliedProfile, uid: str, key: bytes) -> AppliedProfile:
    """Return it with the proof as it was before Jobs had one."""
    return applied.model_copy(update={"proof": _older_proof(applied, uid, key)})


def is_proven(applied: AppliedProfile, uid: str, run: int, keys: Iterable[bytes]) -> bool:
    """Whether the operator gave it to this run of the job of this uid, by one of the keys."""
    return any(_same(applied, _proof(applied, uid, run, key)) or is_older(applied, uid, [key]) for key in keys)


def is_older(applied: AppliedProfile, uid: str, keys: Iterable[bytes]) -> bool:
    """Whether an operator gave it to the job of this uid that proved no Jobs yet."""
    return any(_same(applied, _older_proof(applied, uid, key)) for key in keys)


def job_proof(name: str, uid: str, key: bytes) -> str:
    """The proof of a Job of this name, of the FineTuneJob of this uid."""
    return _hmac(key, ["job", uid, name])[:_JOB_DIGITS]


def _proof(applied: AppliedProfile, uid: str, run: int, key: bytes) -> str:
    content = ["profile", uid, run, applied.name, applied.generation, applied.settings]
    return f"sha256:{_hmac(key, content)}"


def _older_proof(applied: AppliedProfile, uid: str, key: bytes) -> str:
    return f"sha256:{_hmac(key, [uid, applied.name, applied.generation, applied.settings])}"


def _same(given: AppliedProfile, proof: str) -> bool:
    return hmac.compare_digest(given.proof or "", proof)


def _hmac(key: bytes, content: Sequence[Any]) -> str:
    return hmac.digest(key, json.dumps(content).encode(), "sha256").hex()

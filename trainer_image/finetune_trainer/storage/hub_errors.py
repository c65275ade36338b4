"""Failures of the Hugging Face Hub, explained the same way for models and data sets."""

import socket
from typing import Final, Literal

from datasets.exceptions import DatasetNotFoundError
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from finetune_api.reasons import Reason
from finetune_api.report import ExitCode
from finetune_trainer.base.errors import TrainerError, causes
from finetune_trainer.storage.credentials import Role, credentials_hint

Kind = Literal["model", "data set"]

_ROLES: Final[dict[Kind, Role]] = {"model": "model", "data set": "dataset"}
_GATED: Final = {"model": Reason.MODEL_GATED, "data set": Reason.DATASET_GATED}
_NOT_FOUND: Final = {"model": Reason.MODEL_NOT_FOUND, "data set": Reason.DATASET_NOT_FOUND}
_INCOMPLETE: Final = {"model": Reason.MODEL_INCOMPLETE, "data set": Reason.DATASET_INCOMPLETE}
_NOT_ALLOWED: Final = {"model": Reason.MODEL_NOT_ALLOWED, "data set": Reason.DATASET_NOT_ALLOWED}


def explain_hub_error(error: BaseException, kind: Kind, source: str, revision: str) -> TrainerError | None:
    """Return the failure that an exception of the Hub's libraries means; None if the Hub is not the cause.

    An unreachable Hub has the exit code INTERNAL: the same manifest may well do at the next attempt.
    """
    code = ExitCode.MODEL if kind == "model" else ExitCode.DATA
    chain = list(causes(error))
    sign_in = f"give the token of an account that may read it: {credentials_hint('hf', _ROLES[kind])}"

    def found(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in chain)

    if found(GatedRepoError) or any(isinstance(c, DatasetNotFoundError) and "gated" in str(c) for c in chain):
        return TrainerError(
            code, _GATED[kind], f"{kind} {source} is gated: its owner lets only some accounts read it",
            f"ask for access on its page on the Hub, and {sign_in}",
        )  # fmt: skip
    if found(RevisionNotFoundError) or any("doesn't exist for dataset" in str(cause) for cause in chain):
        return TrainerError(
            code, Reason.REVISION_NOT_FOUND, f"{kind} {source} has no revision '{revision}'",
            "give a branch, tag or commit that its page on the Hub shows",
        )  # fmt: skip
    if found(OfflineModeIsEnabled):
        return _unreachable(kind, source, "the Hub is switched off by HF_HUB_OFFLINE, and it is not in the cache")
    if found(RepositoryNotFoundError, DatasetNotFoundError):
        return TrainerError(
            code, _NOT_FOUND[kind], f"{kind} {source} is not on the Hub, or is private",
            f"check the spelling of {'model' if kind == 'model' else 'dataset'}.source; if it is private, {sign_in}",
        )  # fmt: skip
    if found(HFValidationError):
        return TrainerError(code, _NOT_FOUND[kind], f"{source} cannot be an id on the Hub", "ids look like org/name")
    if found(ConnectionError, TimeoutError, socket.gaierror) or any(_is_network(cause) for cause in chain):
        return _unreachable(kind, source, "the Hub cannot be reached")
    if found(LocalEntryNotFoundError):
        return _unreachable(kind, source, "the Hub cannot be reached, and it is not in the cache")
    if found(EntryNotFoundError):
        return TrainerError(
            code,
            _INCOMPLETE[kind],
            f"{kind} {source} lacks a file: {str(chain[-1]).splitlines()[0]}",
            f"upload it there, or set {'model.revision' if kind == 'model' else 'dataset.revision'} to a commit that has it",
        )
    if failed := next((c for c in chain if isinstance(c, HfHubHTTPError)), None):
        status = failed.response.status_code if failed.response is not None else 0
        if status in (401, 403):
            return TrainerError(code, _NOT_ALLOWED[kind], f"the Hub refuses {kind} {source} ({status})", sign_in)
        return _unreachable(kind, source, f"the Hub answered {status}")
    return None


def _unreachable(kind: Kind, source: str, why: str) -> TrainerError:
    return TrainerError(
        ExitCode.INTERNAL, Reason.HUB_UNREACHABLE, f"{kind} {source}: {why}",
        "let the Hub be reached from where the trainer runs (HTTPS_PROXY and HF_ENDPOINT, which for pods a FineTuneProfile sets as proxy and "
        "hub.endpoint), or put it into a folder (file:///path; for pods a claim, pvc://claim/path)",
    )  # fmt: skip


def _is_network(error: BaseException) -> bool:
    """Return whether it is an error of the network of one of the HTTP libraries, which have classes of their own."""
    return type(error).__name__ in ("ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "ProxyError")

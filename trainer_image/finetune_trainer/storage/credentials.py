"""Credentials of buckets and of the Hub: from the Secrets that the manifest names, else where each library looks itself."""

import base64
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from finetune_api.reasons import Reason
from finetune_api.report import ENV_SECRET_VARIABLES, ENV_SECRETS, ENV_TOKEN
from finetune_api.run import RunConfig
from finetune_api.tracking import CREDENTIALS, tracker_urls
from finetune_trainer.base.errors import bad_configuration
from finetune_trainer.base.redaction import redact
from finetune_trainer.base.text import listed
from finetune_trainer.storage.secret_places import secret_paths

Role: TypeAlias = Literal["model", "dataset", "output"]
"""Whose credentials: each may have a Secret of its own."""
_Holder: TypeAlias = Role | Literal["tracking"]

FIELDS: dict[Role, str] = {"model": "model.source", "dataset": "dataset.source", "output": "output.uri"}
"""The field of the manifest that has the URI."""

_KEYS: dict[str, tuple[str, ...]] = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_ENDPOINT_URL"),
    "gs": ("GOOGLE_APPLICATION_CREDENTIALS_JSON",),
    "az": (
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_STORAGE_ACCOUNT",
        "AZURE_STORAGE_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
    ),
    "hf": ("HF_TOKEN",),
}
_NOT_SECRET = ("AWS_REGION", "AWS_ENDPOINT_URL", "AZURE_STORAGE_ACCOUNT", "MLFLOW_TRACKING_USERNAME")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
_SECRET_NAME = re.compile(
    r"(?i)TOKEN|SECRET|PASSW|CREDENTIAL|PRIVATE|(API|ACCESS|ACCOUNT|STORAGE)_?KEY|CONNECTION_STRING|_SAS"
)
"""Names of variables that hold a secret."""
_LARGEST_SECRET = 2**20
"""Bytes; Kubernetes takes no larger one."""
_PARTS_AT_ONCE = 4
"""Parts of one file that are sent at the same time: each takes up to 50 MiB of memory."""
_RETRIES = {"mode": "standard", "total_max_attempts": 3}
"""Tries of one request by botocore; s3fs tries five times around it, which takes long enough together."""
_BLOCK_BYTES = 16 * 2**20
"""A larger file is read in parts of this size, several at a time."""


def remember_secrets() -> None:
    """Redact every value that came from a Secret from now on, under whatever name: files, and variables.

    Outside a cluster nobody says which variables hold secrets: those that are called so do.
    """
    named = os.environ.get(ENV_SECRET_VARIABLES, "").split(",")
    redact.remember(value for name, value in os.environ.items() if name in named or _seems_secret(name, value))
    redact.remember(password for name in _PROXIES for password in _passwords(os.environ.get(name, "")))
    for folder in secret_paths():
        redact.remember(_contents(folder))


def _seems_secret(name: str, value: str) -> bool:
    # Our own variables hold paths, some of which are made only later, such as that of the folder for rows of tokens.
    is_path = name.startswith("FINETUNE_") or os.path.exists(value)  # noqa: PTH110 - of any text
    return _SECRET_NAME.search(name) is not None and not is_path


def _contents(path: Path) -> Iterator[str]:
    """Yield what the files at or below a path hold, but for what tells only where a bucket is."""
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.name in _NOT_SECRET or not file.is_file():
            continue
        try:
            content = file.read_bytes()[:_LARGEST_SECRET]
        except OSError:  # who needs it says so
            continue
        yield content.decode("utf-8", "replace")
        yield base64.b64encode(content).decode()


def publish_places(config: RunConfig) -> None:
    """Leave the places that the manifest names readable, though a Secret may name them too."""
    redact.publish(
        urlsplit(uri)._replace(query="").geturl()
        for uri in (config.model.source, config.dataset.source, config.output.uri, *tracker_urls(config.tracking))
    )


def _passwords(url: str) -> Iterator[str]:
    """Yield the password of a URL, if it has one, as it is written there and as it is sent."""
    # Not by urllib, which finds none where the password itself has a character that belongs to URLs.
    credentials, at, _ = url.partition("://")[2].rpartition("@")
    password = credentials.partition(":")[2]
    if at and password:
        yield from {password, unquote(password)}


def storage_options(scheme: str, role: Role) -> dict[str, Any]:
    """Return options for the fsspec file system of `scheme` (s3, gs, az), read again each time: Kubernetes updates mounted Secrets.

    Raises:
        TrainerError: BAD_CONFIGURATION when the Secret lacks what the scheme needs. No message holds a value.
    """
    secret = _secret(scheme, role)
    match scheme:
        case "s3":
            return _s3_options(secret, role)
        case "gs":
            return _gs_options(secret, role)
        case "az":
            return _az_options(secret, role)
        case other:
            raise ValueError(f"no credentials are known for {other}://")


def hub_token(role: Role) -> str | None:
    """Return the Hub's token from the role's Secret; None lets huggingface_hub look (HF_TOKEN, or a login on a laptop)."""
    return _read(role, _KEYS["hf"]).get("HF_TOKEN")


def tracker_credentials(tracker: str) -> dict[str, str]:
    """Return the credentials of a tracker by their names, read again each time: those of the Secret, or without one of the environment.

    Of the environment of a pod HF_TOKEN is left out: it is for the Hub, may be the profile's, and anybody can have a Space.

    Raises:
        TrainerError: BAD_CONFIGURATION when the Secret has a name without its password.
    """
    keys = CREDENTIALS.get(tracker, ())
    if not has_secret("tracking"):
        others = ("HF_TOKEN",) if ENV_TOKEN in os.environ else ()
        return {name: os.environ[name] for name in keys if os.environ.get(name) and name not in others}
    values = _read("tracking", keys)
    _check_complete(values, "tracking", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    return values


def check_tracker_credentials(trackers: Sequence[str]) -> None:
    """Check that the Secret, if there is one, has credentials for one of the trackers; others may need none.

    Raises:
        TrainerError: BAD_CONFIGURATION when it has none, or a name without its password.
    """
    keys = [key for tracker in trackers for key in CREDENTIALS.get(tracker, ())]
    found = [tracker_credentials(tracker) for tracker in trackers]
    if has_secret("tracking") and keys and not any(found):
        raise bad_configuration(
            f"the Secret of tracking.secretRef has no key for a tracker, such as {keys[0]}",
            f"its keys may be {listed(keys)}",
            Reason.SECRET_INCOMPLETE,
        )


def has_secret(role: _Holder) -> bool:
    """Return whether the manifest's Secret for `role` is mounted."""
    folder = _folder(role)
    return folder is not None and folder.is_dir()


def credentials_hint(scheme: str, role: Role) -> str:
    """Return what people can do about credentials that are missing or refused."""
    if scheme not in _KEYS:
        return "https:// takes no credentials: put the file into a bucket or on a volume"
    names = _KEYS[scheme][:2]
    keys = (" and " if scheme == "s3" else " or ").join(names)
    if has_secret(role):
        what = f"check {keys} in" if _has_keys(scheme, role) else f"add {keys} to"
        return f"{what} the Secret that {role}.secretRef names"
    account = "" if scheme == "hf" else ", or in pod.serviceAccountName a service account with rights there"
    variables = "them as environment variables" if len(names) > 1 else "it as an environment variable"
    return f"name a Secret with {keys} in {role}.secretRef{account} (outside a cluster set {variables})"


def finds_none(scheme: str, role: Role) -> bool:
    """Return whether no credentials are sent: of the schemes whose libraries do not fail without any."""
    if scheme != "hf":
        return scheme == "https"
    # It reads its settings from the environment as it is imported, and the run sets some of them: see `use_shared_cache`.
    from huggingface_hub import get_token

    return not (hub_token(role) or get_token())


def _has_keys(scheme: str, role: Role) -> bool:
    """Return whether the role's Secret holds a key that gives access, and not only what tells where the place is."""
    folder = _folder(role)
    return folder is not None and any((folder / name).exists() for name in _KEYS[scheme] if name not in _NOT_SECRET)


def _secret(scheme: str, role: Role) -> dict[str, str]:
    """Return the scheme's keys in the role's Secret; none where no Secret is named."""
    values = _read(role, _KEYS[scheme])
    if has_secret(role) and not values:
        raise bad_configuration(
            f"the Secret of {role}.secretRef has no key for {scheme}://, such as {_KEYS[scheme][0]}",
            f"its keys may be {listed(_KEYS[scheme])}",
            Reason.SECRET_INCOMPLETE,
        )
    return values


def _read(role: _Holder, names: Iterable[str]) -> dict[str, str]:
    folder, values = _folder(role), {}
    if folder is None:
        return {}
    for name in names:
        try:
            values[name] = (folder / name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise bad_configuration(
                f"key {name} of the Secret of {role}.secretRef cannot be read: {type(error).__name__}",
                reason=Reason.SECRET_UNREADABLE,
            ) from None
    redact.remember(value for name, value in values.items() if name not in _NOT_SECRET)
    return values


def _folder(role: _Holder) -> Path | None:
    root = os.environ.get(ENV_SECRETS)
    return Path(root) / role if root else None


def _s3_options(secret: Mapping[str, str], role: Role) -> dict[str, Any]:
    _check_complete(secret, role, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    # botocore itself looks for AWS_DEFAULT_REGION only.
    region = secret.get("AWS_REGION") or os.environ.get("AWS_REGION")
    options = {
        "key": secret.get("AWS_ACCESS_KEY_ID"),
        "secret": secret.get("AWS_SECRET_ACCESS_KEY"),
        "token": secret.get("AWS_SESSION_TOKEN"),
        "endpoint_url": secret.get("AWS_ENDPOINT_URL"),
        "client_kwargs": {"region_name": region} if region else None,
        "config_kwargs": None if "AWS_MAX_ATTEMPTS" in os.environ else {"retries": _RETRIES},
        "max_concurrency": _PARTS_AT_ONCE,
        "default_block_size": _BLOCK_BYTES,
    }
    return {name: value for name, value in options.items() if value is not None}


def _gs_options(secret: Mapping[str, str], role: Role) -> dict[str, Any]:
    # No library looks for this variable: they know of files, and of the identity of the machine.
    text = (secret or os.environ).get("GOOGLE_APPLICATION_CREDENTIALS_JSON")
    session = {"session_kwargs": {"trust_env": True}}  # aiohttp asks for no proxy by itself
    if text is None:
        return session
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict):
        raise bad_configuration(
            f"GOOGLE_APPLICATION_CREDENTIALS_JSON{f' in the Secret of {role}.secretRef' if secret else ''} is not JSON",
            "it must hold the whole key file of a service account",
            Reason.SECRET_INCOMPLETE,
        )
    return {"token": key, **session}


def _az_options(secret: Mapping[str, str], role: Role) -> dict[str, Any]:
    if connection := secret.get("AZURE_STORAGE_CONNECTION_STRING"):
        return {"connection_string": connection}
    if not secret:
        account = os.environ.get("AZURE_STORAGE_ACCOUNT")
        key = os.environ.get("AZURE_STORAGE_KEY")
        return {name: value for name, value in (("account_name", account), ("account_key", key)) if value}
    if "AZURE_STORAGE_SAS_TOKEN" in secret:
        _check_complete(secret, role, "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_SAS_TOKEN")
        return {"account_name": secret["AZURE_STORAGE_ACCOUNT"], "sas_token": secret["AZURE_STORAGE_SAS_TOKEN"]}
    _check_complete(secret, role, "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_KEY")
    return {"account_name": secret["AZURE_STORAGE_ACCOUNT"], "account_key": secret["AZURE_STORAGE_KEY"]}


def _check_complete(secret: Mapping[str, str], role: _Holder, *names: str) -> None:
    """Raise BAD_CONFIGURATION where the Secret has some of these keys and not all."""
    missing = [name for name in names if name not in secret]
    if missing and len(missing) < len(names):
        raise bad_configuration(
            f"the Secret of {role}.secretRef lacks {listed(missing)}",
            f"it needs {' and '.join(names)}",
            Reason.SECRET_INCOMPLETE,
        )

"""Certificate authorities of a closed network, for every library that makes a connection.

Each library has a variable of its own for a file that takes the place of what it would trust, so that one file holds all:
the public authorities and those of the folder. Some libraries read their variable while they are imported.
"""

import atexit
import os
import ssl
import tempfile
from pathlib import Path

import certifi

from finetune_api.reasons import Reason
from finetune_api.report import ENV_TRUST
from finetune_trainer.base.errors import bad_configuration

VARIABLES = (
    "SSL_CERT_FILE",  # Python's ssl, and so aiohttp, httpx and urllib; Xet
    "REQUESTS_CA_BUNDLE",  # requests, and so google-auth and azure-identity
    "CURL_CA_BUNDLE",
    "AWS_CA_BUNDLE",  # botocore
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
"""What names the file to each library."""


def trust_authorities() -> None:
    """Let every connection from now on trust the authorities of the folder that the operator names, besides the public ones.

    Raises:
        TrainerError: BAD_CONFIGURATION when a file there is none of certificates, or there is no file.
    """
    folder = os.environ.get(ENV_TRUST)
    if not folder:
        return
    bundle = _write("\n".join([*_public(), *_authorities(Path(folder))]))
    os.environ.update(dict.fromkeys(VARIABLES, bundle))


def _public() -> list[str]:
    """What this machine trusts, what its image names, and what the libraries would trust."""
    named = ssl.get_default_verify_paths().openssl_cafile, os.environ.get(VARIABLES[0]), certifi.where()
    return [Path(file).read_text(encoding="utf-8") for file in dict.fromkeys(named) if file and Path(file).is_file()]


def _authorities(folder: Path) -> list[str]:
    # Kubernetes puts links to hidden folders beside the files.
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file())
    if not files:
        raise bad_configuration(
            "the ConfigMap of the profile's trust has no key",
            "put PEM files of authorities into it",
            Reason.TRUST_UNUSABLE,
        )
    return [_checked(path) for path in files]


def _checked(path: Path) -> str:
    """Return the text of a file, if all of it can be loaded."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:  # what ssl raises is an OSError
        raise bad_configuration(
            f"key {path.name} of the ConfigMap of the profile's trust holds no certificates: {error}",
            "each key must be a PEM file, -----BEGIN CERTIFICATE----- and so on",
            Reason.TRUST_UNUSABLE,
        ) from error


def _write(text: str) -> str:
    """Write the file for this process and those that it starts, and return its path."""
    descriptor, path = tempfile.mkstemp(prefix="finetune-trust-", suffix=".pem")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    atexit.register(Path(path).unlink, missing_ok=True)
    return path

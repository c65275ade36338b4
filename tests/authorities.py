"""No test trusts the hundred and more authorities of this machine or of certifi: OpenSSL reads them for 40 ms, for each client that is made.

What a test names itself, by SSL_CERT_FILE or as a file, is read as ever; what the environment of the suite names is none of the tests'.
"""

import os
import ssl
from typing import Any

import certifi

for _name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):
    os.environ.pop(_name, None)

_read_default = ssl.SSLContext.set_default_verify_paths
_read = ssl.SSLContext.load_verify_locations


def _set_default_verify_paths(context: ssl.SSLContext) -> None:
    if {"SSL_CERT_FILE", "SSL_CERT_DIR"} & os.environ.keys():
        _read_default(context)


def _load_verify_locations(context: ssl.SSLContext, cafile: Any = None, capath: Any = None, cadata: Any = None) -> None:
    if (cafile, capath, cadata) != (certifi.where(), None, None):
        _read(context, cafile, capath, cadata)


ssl.SSLContext.set_default_verify_paths = _set_default_verify_paths  # type: ignore[method-assign]
ssl.SSLContext.load_verify_locations = _load_verify_locations  # type: ignore[method-assign]

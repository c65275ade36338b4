"""One attempt to tell somebody: the Secret read, the URL held to the profile, the event signed and sent. Nothing of the Secret is kept."""

import base64
import json
import logging
import re
import ssl
import tempfile
import traceback
from asyncio import get_running_loop
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache, lru_cache
from typing import Final

from kubernetes.aio.client.exceptions import ForbiddenException

from finetune_api.base import JsonObject
from finetune_api.notify import SECRET, URL_PATTERN, NotifyTarget, host_of
from finetune_api.profile_rules import is_meant
from finetune_operator.job.finetunejob import FineTuneJob
from finetune_operator.kube import server_time
from finetune_operator.kube.client import CONFIG_MAPS, SECRETS, Kube
from finetune_operator.kube.errors import API_FAILURES
from finetune_operator.notify.event import CONTENT_TYPE, cloud_event, event_id, slack_message
from finetune_operator.notify.post import Poster
from finetune_operator.notify.signature import read_keys, signature_headers
from finetune_operator.status.announcements.notices import Answer

_MOST_TRUST: Final = 512 * 1024
"""Characters of PEM: twice as many as all public authorities have. Of more, each context would take ten megabytes, and a second of a core."""

_MARK: Final = re.compile("^-----.*$", re.MULTILINE)
_BEGIN: Final = re.compile("-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")

logger = logging.getLogger(__name__)


class _NotSent(Exception):
    """Why an attempt ends before anything is sent, in words that hold nothing of a Secret."""


class Notifier:
    """Makes attempts, with the requests to the API at the cost of the job's namespace."""

    def __init__(self, kube: Kube, poster: Poster, now: Callable[[], datetime] = server_time.now) -> None:
        self._kube = kube
        self._poster = poster
        self._now = now
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="notify-trust")
        """Reads certificates, of which whoever may edit a ConfigMap can give any number: hundreds would hold everybody up here."""

    async def send(self, finetunejob: FineTuneJob, target: NotifyTarget) -> Answer:
        """Make one attempt. Raises API_FAILURES that may pass; whatever else it meets counts as an attempt, and is not tried for ever."""
        try:
            return await self._send(finetunejob, target)
        except _NotSent as problem:
            return Answer(message=str(problem))
        except Exception as error:
            if isinstance(error, API_FAILURES) and not isinstance(error, ValueError):
                raise
            # Without its words, which may hold what the Secret does.
            kind, place = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.name}, line {place.lineno}"
            logger.error("%s: %s cannot be told: %s in %s", finetunejob.key, target.name, kind, where)
            return Answer(message=f"the operator failed to send it ({kind}); its log says where")

    async def _send(self, finetunejob: FineTuneJob, target: NotifyTarget) -> Answer:
        secret = await self._secret(finetunejob.namespace)
        url, body, headers = self._request(finetunejob, target, secret)
        private = _private(finetunejob, target, url)
        tls = await self._trusted(finetunejob)
        return await self._poster.post(url, body, headers, private=private, tls=tls)

    async def _secret(self, namespace: str) -> JsonObject:
        try:
            secret = await self._kube.get(SECRETS, namespace, SECRET)
        except ForbiddenException:
            raise _NotSent(f"the operator may not read the Secret {SECRET} here (the chart's notify.enabled)") from None
        if secret is None:
            raise _NotSent(f"there is no Secret {SECRET} in the namespace")
        return secret

    async def _trusted(self, finetunejob: FineTuneJob) -> ssl.SSLContext:
        """What a receiver's certificate is verified by: the public authorities, and those of the profile's trust."""
        trust = finetunejob.profile.trust
        if trust is None:
            return _public()
        name = trust.config_map_ref.name
        config_map = await self._kube.get(CONFIG_MAPS, finetunejob.namespace, name)
        if config_map is None:
            raise _NotSent(f"there is no ConfigMap {name} in the namespace, which the profile's trust names")
        pem = "\n".join(map(str, (config_map.get("data") or {}).values()))
        if len(pem) > _MOST_TRUST:
            raise _NotSent(
                f"the ConfigMap {name} of the profile's trust has {len(pem)} characters, and at most {_MOST_TRUST} are read"
            )
        tls = await get_running_loop().run_in_executor(self._thread, _tls, pem)
        if tls is None:
            raise _NotSent(f"the ConfigMap {name} of the profile's trust holds what is no certificate")
        return tls

    def _request(
        self, finetunejob: FineTuneJob, target: NotifyTarget, secret: JsonObject
    ) -> tuple[str, bytes, dict[str, str]]:
        """URL, body and headers."""
        if target.webhook is None:
            key = target.slack.url_secret_key if target.slack else ""
            return _url_in(secret, key), _json(slack_message(finetunejob)), {"Content-Type": "application/json"}
        webhook, body = target.webhook, _json(cloud_event(finetunejob))
        url = webhook.url or _url_in(secret, webhook.url_secret_key or "")
        try:
            keys = read_keys(_value(secret, webhook.signing_secret_key))
        except ValueError as error:
            raise _NotSent(f"key {webhook.signing_secret_key} of the Secret {SECRET} {error}") from None
        signed = signature_headers(event_id(finetunejob), self._now(), body, keys)
        return url, body, {"Content-Type": CONTENT_TYPE, **signed}


def _json(content: JsonObject) -> bytes:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _value(secret: JsonObject, key: str) -> str:
    """The value of a key. Raises _NotSent."""
    try:
        return base64.b64decode(secret["data"][key]).decode().strip()
    except (KeyError, TypeError):
        raise _NotSent(f"the Secret {SECRET} has no key {key}") from None
    except ValueError:
        raise _NotSent(f"key {key} of the Secret {SECRET} is no text") from None


def _url_in(secret: JsonObject, key: str) -> str:
    url = _value(secret, key)
    if not re.fullmatch(URL_PATTERN, url):
        raise _NotSent(f"key {key} of the Secret {SECRET} holds no URL such as https://host/path")
    return url


def _private(finetunejob: FineTuneJob, target: NotifyTarget, url: str) -> bool:
    """Whether the URL's host may be at a private address. Raises _NotSent where the profile lets nothing be sent there.

    Held to what the job keeps of its profile: `spec.notify` may have changed since, and a Secret is seen here first.
    """
    if finetunejob.kept is None:
        raise _NotSent("the job's profile is not known any more, by which it would be allowed")
    rules, host = finetunejob.kept.notify, host_of(url)
    of_profile = target in finetunejob.kept.defaults.notify and target.webhook is not None and bool(target.webhook.url)
    if not of_profile and not is_meant(host, rules.hosts, finetunejob.namespace, finetunejob.name):
        raise _NotSent("its host is not one of the profile's notify.hosts")
    private = is_meant(host, rules.private_hosts, finetunejob.namespace, finetunejob.name)
    if url.startswith("http:") and not private:
        raise _NotSent("its URL begins with http://, which is for hosts of the profile's notify.privateHosts alone")
    return private


@cache
def _public() -> ssl.SSLContext:
    """The authorities of the operator's image or of SSL_CERT_FILE."""
    return ssl.create_default_context()


@lru_cache(maxsize=8)
def _tls(authorities: str) -> ssl.SSLContext | None:
    """The public authorities, and those that are given as PEM. None, which is kept too, where what is given is no certificate."""
    context = ssl.create_default_context()
    if authorities.strip():
        # Others go on meanwhile only if it is read from a file.
        with tempfile.NamedTemporaryFile() as file:
            try:
                file.writelines(_certificates(authorities))
                file.flush()
                context.load_verify_locations(cafile=file.name)
            except ssl.SSLError:
                return None
    return context


def _certificates(pem: str) -> Iterator[bytes]:
    """The certificates of a text, without what else it holds: names in whatever language, keys, revocations.

    Without encrypted ones either, for which OpenSSL would ask a terminal for the pass phrase: only they have headers, with
    colons. Raises ssl.SSLError for a certificate without an end.
    """
    text, begin, since = pem.encode("ascii", "ignore").decode(), "", 0
    for mark in _MARK.finditer(text):
        line = mark[0].rstrip()
        if not begin:
            if _BEGIN.fullmatch(line):
                begin, since = line, mark.start()
        elif line == begin.replace("BEGIN", "END"):
            block = text[since : mark.end()]
            if ":" not in block:
                yield f"{block}\n".encode()
            begin = ""
        else:
            break
    if begin:
        raise ssl.SSLError("a certificate has no end")

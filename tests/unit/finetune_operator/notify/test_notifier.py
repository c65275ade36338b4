"""One attempt: what is read of the one Secret, where the profile lets the URL lead, and what is sent."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme
from tests.unit.finetune_operator.fake_api import FakeApi, refusal
from tests.unit.finetune_operator.samples import START, merged, parsed, settled

from finetune_api.notify import NotifyTarget
from finetune_api.profile import Defaults, FineTuneProfileSpec, NotifyRules
from finetune_operator.kube.client import CONFIG_MAPS, SECRETS
from finetune_operator.notify import notifier
from finetune_operator.notify.notifier import Notifier
from finetune_operator.notify.post import Poster
from finetune_operator.status.announcements.notices import Answer

KEY = b"twenty-four bytes at least"
SLACK = "https://hooks.slack.com/services/T0/B0/token"
VALUES = {"signing-key": f"whsec_{base64.b64encode(KEY).decode()}\n", "slack-url": SLACK, "own-url": "http://in.svc/x"}
CI = {"name": "ci", "webhook": {"url": "https://ci.example/hook"}}
CHAT = {"name": "chat", "slack": {}}
ENDED: dict[str, Any] = {"phase": "Succeeded", "metrics": [{"name": "loss", "value": "0.5"}]}


@dataclass
class Sent(Poster):
    """What would be sent."""

    requests: list[tuple[str, bytes, dict[str, str], bool]] = field(default_factory=list)
    trusted: list[ssl.SSLContext] = field(default_factory=list)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, private: bool, tls: ssl.SSLContext
    ) -> Answer:
        assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
        self.trusted.append(tls)
        self.requests.append((url, body, dict(headers), private))
        return Answer(delivered=True)


async def attempt(
    target: dict[str, Any],
    profile: FineTuneProfileSpec | None = None,
    values: dict[str, str] | None = VALUES,
    api: FakeApi | None = None,
) -> tuple[Answer, Sent]:
    """Try to tell `target` of the end of a job of this profile, the Secret having these values."""
    api, sent = api or FakeApi(), Sent()
    if values is not None:
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        api.put(SECRETS, {"metadata": {"name": "finetune-notify"}, "data": data})
    job = parsed(merged(settled(profile or FineTuneProfileSpec()), ENDED), notify=[target])
    answer = await Notifier(api, sent, now=lambda: START).send(job, NotifyTarget.model_validate(target))
    return answer, sent


async def test_a_webhook_gets_a_cloud_event_that_is_signed() -> None:
    answer, sent = await attempt(CI)

    ((url, body, headers, private),) = sent.requests
    event = json.loads(body)
    signed = f"{event['id']}.{int(START.timestamp())}.".encode() + body
    assert answer == Answer(delivered=True)
    assert (url, private) == ("https://ci.example/hook", False)
    assert (event["type"], event["data"]["metrics"]) == ("dev.finetune.finetunejob.succeeded", ENDED["metrics"])
    assert headers == {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": event["id"],
        "webhook-timestamp": str(int(START.timestamp())),
        "webhook-signature": "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode(),
    }


async def test_a_channel_gets_a_line_at_the_url_that_the_secret_holds() -> None:
    _, sent = await attempt(CHAT)

    assert sent.requests == [
        (SLACK, '{"text":"`team-a/yelp` succeeded · `loss 0.5`"}'.encode(), {"Content-Type": "application/json"}, False)
    ]


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        (CHAT, None, "there is no Secret finetune-notify in the namespace"),
        (CHAT, {}, "the Secret finetune-notify has no key slack-url"),
        (CI, {}, "the Secret finetune-notify has no key signing-key"),
        (CHAT, {"slack-url": "not-a-url-token"}, "key slack-url of the Secret finetune-notify holds no URL such as https://host/path"),
        (CHAT, {"slack-url": "https://u:token@a/b"}, "key slack-url of the Secret finetune-notify holds no URL such as https://host/path"),
        (CI, {"signing-key": "c2hvcnQ="}, "key signing-key of the Secret finetune-notify has 5 bytes, and needs 24 random ones"),
    ],
)  # fmt: skip
async def test_what_the_secret_lacks_is_told_by_its_key_and_nothing_is_sent(
    target: dict[str, Any], values: dict[str, str] | None, message: str
) -> None:
    answer, sent = await attempt(target, values=values)

    assert (answer, sent.requests) == (Answer(message=message), [])


@pytest.mark.parametrize("error", [RuntimeError(SLACK), ValueError(SLACK)])
async def test_what_nobody_foresaw_counts_as_an_attempt_and_shows_nothing_of_the_secret(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> Answer:
        raise error

    monkeypatch.setattr(Sent, "post", fail)

    answer, _ = await attempt(CHAT)

    kind = type(error).__name__
    assert answer == Answer(message=f"the operator failed to send it ({kind}); its log says where")
    assert [each.getMessage().partition(" in fail")[0] for each in caplog.records] == [
        f"team-a/yelp: chat cannot be told: {kind}"
    ]
    assert SLACK not in caplog.text


@pytest.mark.parametrize("error", [refusal(500, "etcd is away"), TimeoutError()])
async def test_an_api_server_that_does_not_answer_costs_no_attempt(error: Exception) -> None:
    api = FakeApi()
    api.failures["get secrets"] = error  # type: ignore[assignment]

    with pytest.raises(type(error)):
        await attempt(CHAT, api=api)


async def test_a_right_that_is_missing_is_told_by_the_value_that_gives_it() -> None:
    api = FakeApi()
    api.failures["get secrets"] = refusal(403, "secrets is forbidden: the token is eyJhbGci")

    answer, _ = await attempt(CI, api=api, values=None)

    words = "the operator may not read the Secret finetune-notify here (the chart's notify.enabled)"
    assert answer == Answer(message=words)


IN_CLEAR = {"name": "ci", "webhook": {"url": "http://in.svc/x"}}
IN_SECRET = {"name": "ci", "webhook": {"urlSecretKey": "own-url"}}
NOT_MEANT = "its host is not one of the profile's notify.hosts"
NO_TLS = "its URL begins with http://, which is for hosts of the profile's notify.privateHosts alone"


@pytest.mark.parametrize(
    ("target", "rules", "expected"),
    [
        (CI, {}, False),
        (CI, {"privateHosts": ["*.example"]}, True),
        (CI, {"hosts": ["other.example"]}, NOT_MEANT),
        (CHAT, {"hosts": ["*.example"]}, NOT_MEANT),
        (CHAT, {"hosts": ["hooks.slack.com"]}, False),
        (IN_CLEAR, {}, NO_TLS),
        (IN_CLEAR, {"privateHosts": ["in.svc"]}, True),
        (IN_SECRET, {}, NO_TLS),
        (IN_SECRET, {"hosts": [], "privateHosts": ["in.svc"]}, NOT_MEANT),
        (IN_SECRET, {"privateHosts": ["*.svc"]}, True),
    ],
)
async def test_each_url_is_held_to_what_the_job_keeps_of_its_profile_also_one_in_a_secret(
    target: dict[str, Any], rules: dict[str, Any], expected: bool | str
) -> None:
    answer, sent = await attempt(target, FineTuneProfileSpec(notify=NotifyRules.model_validate(rules)))

    if isinstance(expected, str):
        assert (answer, sent.requests) == (Answer(message=expected), [])
    else:
        assert [private for *_, private in sent.requests] == [expected]


async def test_what_the_profile_itself_names_needs_not_be_allowed_but_for_its_addresses() -> None:
    targets = [CI, {"name": "more", "webhook": {"urlSecretKey": "own-url"}}]
    profile = FineTuneProfileSpec(
        defaults=Defaults.model_validate({"notify": targets}),
        notify=NotifyRules(hosts=[], private_hosts=["in.svc"]),
    )

    _, named = await attempt(CI, profile)
    held, by_the_secret = await attempt(targets[1], profile)

    assert [private for *_, private in named.requests] == [False]
    # Whoever may write the Secret is not the platform.
    assert (held, by_the_secret.requests) == (Answer(message=NOT_MEANT), [])


async def test_receivers_are_verified_by_the_authorities_that_the_profile_trusts_too() -> None:
    api, authority = FakeApi(), trustme.CA()
    profile = FineTuneProfileSpec.model_validate({"trust": {"configMapRef": {"name": "corporate-ca"}}})
    missing, _ = await attempt(CI, profile, api=api)
    config_map = {"metadata": {"name": "corporate-ca"}, "data": {"ca.crt": "no certificate"}}
    api.put(CONFIG_MAPS, config_map)
    wrong, _ = await attempt(CI, profile, api=api)
    api.put(CONFIG_MAPS, {**config_map, "data": {"ca.crt": authority.cert_pem.bytes().decode()}})

    answer, sent = await attempt(CI, profile, api=api)

    assert missing.message == "there is no ConfigMap corporate-ca in the namespace, which the profile's trust names"
    assert wrong.message == "the ConfigMap corporate-ca of the profile's trust holds what is no certificate"
    own = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    assert answer == Answer(delivered=True)
    assert own in sent.trusted[0].get_ca_certs(binary_form=True)
    # Of nobody else's.
    _, others = await attempt(CI)
    assert own not in others.trusted[0].get_ca_certs(binary_form=True)


async def test_what_stands_between_the_certificates_may_be_in_any_language() -> None:
    api, pem = FakeApi(), trustme.CA().cert_pem.bytes().decode()
    profile = FineTuneProfileSpec.model_validate({"trust": {"configMapRef": {"name": "corporate-ca"}}})
    api.put(CONFIG_MAPS, {"metadata": {"name": "corporate-ca"}, "data": {"ca.crt": f"# Főtanúsítvány\n{pem}"}})

    answer, sent = await attempt(CI, profile, api=api)

    assert answer == Answer(delivered=True)
    assert ssl.PEM_cert_to_DER_cert(pem) in sent.trusted[0].get_ca_certs(binary_form=True)


ENCRYPTED = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n"


def block(label: str, body: str) -> str:
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def trusting(text: str) -> tuple[FakeApi, FineTuneProfileSpec]:
    api = FakeApi()
    api.put(CONFIG_MAPS, {"metadata": {"name": "corporate-ca"}, "data": {"ca.crt": text}})
    return api, FineTuneProfileSpec.model_validate({"trust": {"configMapRef": {"name": "corporate-ca"}}})


@pytest.mark.parametrize(
    "other",
    [
        block("PRIVATE KEY", "a placeholder\n"),
        block("RSA PRIVATE KEY", ENCRYPTED),
        block("X509 CRL", "AAAA\n"),
        block("CERTIFICATE", ENCRYPTED),
    ],
)
async def test_what_is_no_plain_certificate_is_passed_over_beside_one(other: str) -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    api, profile = trusting(f"{other}{pem}{other}".replace("\n", "\r\n"))

    answer, sent = await attempt(CI, profile, api=api)

    assert answer == Answer(delivered=True)
    assert ssl.PEM_cert_to_DER_cert(pem) in sent.trusted[0].get_ca_certs(binary_form=True)


@pytest.mark.parametrize(
    "text",
    [
        block("PRIVATE KEY", "AAAA\n"),
        block("CERTIFICATE", ENCRYPTED),
        block("CERTIFICATE", "AAAA\n"),
        "{pem}-----BEGIN CERTIFICATE-----\nAAAA\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n{pem}",
        "{pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----\n",
    ],
)
async def test_no_certificate_and_half_of_one_are_said(text: str) -> None:
    api, profile = trusting(text.replace("{pem}", trustme.CA().cert_pem.bytes().decode()))

    answer, sent = await attempt(CI, profile, api=api)

    assert answer.message == "the ConfigMap corporate-ca of the profile's trust holds what is no certificate"
    assert sent.requests == []


async def test_what_is_broken_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every namespace waits for the one thread that reads."""
    api, profile = trusting(trustme.CA().cert_pem.bytes().decode() + block("CERTIFICATE", "AAAA\n"))
    contexts, made = [], ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda: (contexts.append(1), made())[1])

    answers = [(await attempt(CI, profile, api=api))[0] for _ in range(3)]

    wrong = Answer(message="the ConfigMap corporate-ca of the profile's trust holds what is no certificate")
    assert answers == [wrong] * 3
    assert len(contexts) == 1


async def test_any_number_of_authorities_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may edit the ConfigMap chooses how many there are; a megabyte of them kept the operator busy for seconds."""
    api, pem = FakeApi(), trustme.CA().cert_pem.bytes().decode()
    profile = FineTuneProfileSpec.model_validate({"trust": {"configMapRef": {"name": "corporate-ca"}}})
    readers, read = [], notifier._tls
    monkeypatch.setattr(notifier, "_tls", lambda text: (readers.append(threading.current_thread()), read(text))[1])
    api.put(CONFIG_MAPS, {"metadata": {"name": "corporate-ca"}, "data": {"ca.crt": pem * 20}})
    few, _ = await attempt(CI, profile, api=api)
    api.put(CONFIG_MAPS, {"metadata": {"name": "corporate-ca"}, "data": {"ca.crt": pem, "more": "#" * 512 * 1024}})

    many, sent = await attempt(CI, profile, api=api)

    assert few == Answer(delivered=True)
    assert threading.main_thread() not in readers
    assert len(readers) == 1
    assert many.message == (
        f"the ConfigMap corporate-ca of the profile's trust has {len(pem) + 1 + 524288} characters, and at most 524288 are read"
    )
    assert sent.requests == []


async def test_a_job_whose_profile_nobody_knows_any_more_is_told_to_nobody() -> None:
    api, sent = FakeApi(), Sent()
    api.put(SECRETS, {"metadata": {"name": "finetune-notify"}, "data": {"slack-url": base64.b64encode(SLACK.encode()).decode()}})  # fmt: skip

    answer = await Notifier(api, sent).send(parsed(ENDED, notify=[CHAT]), NotifyTarget.model_validate(CHAT))

    assert answer == Answer(message="the job's profile is not known any more, by which it would be allowed")
    assert sent.requests == []

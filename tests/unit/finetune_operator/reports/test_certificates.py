import asyncio
import base64
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, ApiException

from finetune_operator.kube.client import Kube
from finetune_operator.reports.certificates import (
    AUTHORITY_LIFETIME,
    AUTHORITY_RENEWAL,
    SERVER_LIFETIME,
    SERVER_RENEWAL,
    Certificates,
    Keys,
    due,
    from_secret_data,
    renew,
    to_secret_data,
)

HOSTS = ("finetune-operator.finetune.svc", "localhost", "127.0.0.1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def signer(keys: Keys) -> int:
    """Which of the authorities, oldest first, signed the server's certificate."""
    issuers = [authority.certificate.subject for authority in keys.authorities]
    return issuers.index(keys.server.certificate.issuer)


def test_nothing_is_due_right_after_a_renewal() -> None:
    assert due(renew(None, HOSTS, NOW), HOSTS, NOW) is None


@pytest.mark.parametrize(
    ("when", "reason"),
    [
        (SERVER_LIFETIME - SERVER_RENEWAL - DAY, None),
        (SERVER_LIFETIME - SERVER_RENEWAL + DAY, "the server's certificate ends soon"),
        (AUTHORITY_LIFETIME - AUTHORITY_RENEWAL + DAY, "the newest authority ends soon"),
        (AUTHORITY_LIFETIME + DAY, "an authority has ended"),
    ],
)
def test_what_ends_soon_is_due(when: timedelta, reason: str | None) -> None:
    assert due(renew(None, HOSTS, NOW), HOSTS, NOW + when) == reason


def test_other_host_names_are_due_in_any_order() -> None:
    keys = renew(None, HOSTS, NOW)

    assert due(keys, HOSTS[::-1], NOW) is None
    assert due(keys, (*HOSTS, "reports.example.com"), NOW) == "the server's names have changed"


def test_a_certificate_of_another_authority_is_due() -> None:
    keys, others = renew(None, HOSTS, NOW), renew(None, HOSTS, NOW)

    mixed = Keys(keys.authorities, others.server)

    assert due(mixed, HOSTS, NOW) == "the server's certificate is of no known authority"


def test_the_authority_stays_when_the_certificate_is_renewed() -> None:
    first = renew(None, HOSTS, NOW)

    second = renew(first, HOSTS, NOW + 60 * DAY)

    assert second.bundle == first.bundle
    assert second.server.ends == NOW + 60 * DAY + SERVER_LIFETIME


def test_a_new_authority_is_trusted_long_before_it_signs() -> None:
    keys = renew(None, HOSTS, NOW)
    old = keys.authorities[0]
    seen = []

    for day in range(0, AUTHORITY_LIFETIME.days + 1, 7):
        now = NOW + day * DAY
        if due(keys, HOSTS, now):
            keys = renew(keys, HOSTS, now)
        state = (len(keys.authorities), signer(keys))
        if not seen or seen[-1][0] != state:
            seen.append((state, old.ends - now))

    states = [state for state, _ in seen]
    assert states == [(1, 0), (2, 0), (2, 1)]
    # From the day the new one is handed out until it signs: how long a pod may go on with what it read at its start.
    assert seen[1][1] - seen[2][1] >= 80 * DAY


def test_an_ended_authority_is_dropped_after_a_long_outage() -> None:
    keys = renew(None, HOSTS, NOW)

    later = renew(keys, HOSTS, NOW + AUTHORITY_LIFETIME + DAY)

    assert len(later.authorities) == 1
    assert later.bundle != keys.bundle


def test_keys_come_back_from_the_secret_as_they_went_in() -> None:
    nearly_ended = renew(None, HOSTS, NOW - AUTHORITY_LIFETIME + 100 * DAY)
    keys = renew(nearly_ended, HOSTS, NOW)

    data = to_secret_data(keys)
    back = from_secret_data(data)

    assert back is not None
    assert to_secret_data(back) == data
    assert [authority.certificate for authority in back.authorities] == [a.certificate for a in keys.authorities]
    assert sorted(data) == ["ca.crt", "ca.key", "tls.crt", "tls.key"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"ca.crt": ""}, id="no authority"),
        pytest.param({"tls.key": "!"}, id="not base64"),
        pytest.param({"tls.crt": base64.b64encode(b"hello").decode()}, id="not a certificate"),
        pytest.param({"ca.key": base64.b64encode(b"-----BEGIN PRIVATE KEY-----").decode()}, id="half a key"),
    ],
)
def test_a_broken_secret_holds_no_keys(change: dict[str, str]) -> None:
    data = to_secret_data(renew(None, HOSTS, NOW))

    assert from_secret_data({**data, **change}) is None
    assert from_secret_data({key: value for key, value in data.items() if key not in change}) is None


def test_a_key_of_another_certificate_is_refused() -> None:
    one, two = to_secret_data(renew(None, HOSTS, NOW)), to_secret_data(renew(None, HOSTS, NOW))

    assert from_secret_data({**one, "tls.key": two["tls.key"]}) is None


def certificates(client: ApiClient, now: datetime | None = None) -> Certificates:
    moment = now or datetime.now(UTC)
    return Certificates(
        Kube(client, qps=1000, burst=1000),
        namespace="finetune",
        secret="reports-tls",
        hosts=HOSTS,
        clock=lambda: moment,
    )


async def test_the_first_start_makes_the_secret_and_the_next_one_reads_it(api_server: Any, client: ApiClient) -> None:
    first, second = certificates(client), certificates(client)

    changed = [await first.refresh(), await second.refresh(), await second.refresh()]

    secret = api_server.secrets["reports-tls"]
    assert changed == [True, True, False]
    assert first.bundle == second.bundle
    assert (secret["type"], secret["metadata"]["resourceVersion"]) == ("kubernetes.io/tls", "1")


async def test_two_first_starts_at_once_agree(api_server: Any, client: ApiClient) -> None:
    starting = [certificates(client) for _ in range(4)]

    await asyncio.gather(*(each.refresh() for each in starting))

    assert len({each.bundle for each in starting}) == 1


async def test_a_renewal_never_overwrites_a_newer_secret(api_server: Any, client: ApiClient) -> None:
    now = datetime.now(UTC)
    await certificates(client, now - 80 * DAY).refresh()
    newer = renew(from_secret_data(api_server.secrets["reports-tls"]["data"]), HOSTS, now)
    api_server.before_write.append({**api_server.secrets["reports-tls"], "data": to_secret_data(newer)})

    await certificates(client).refresh()

    assert api_server.secrets["reports-tls"]["data"] == to_secret_data(newer)


async def test_a_secret_that_somebody_broke_is_made_anew(api_server: Any, client: ApiClient) -> None:
    await certificates(client).refresh()
    api_server.secrets["reports-tls"]["data"]["ca.key"] = "broken"

    mended = certificates(client)
    await mended.refresh()

    stored = from_secret_data(api_server.secrets["reports-tls"]["data"])
    assert stored is not None
    assert stored.bundle == mended.bundle


async def test_an_api_server_that_refuses_is_not_hidden(api_server: Any, client: ApiClient) -> None:
    api_server.failing = 403

    with pytest.raises(ApiException):
        await certificates(client).refresh()


async def test_a_server_takes_a_renewed_certificate_without_a_restart(api_server: Any, client: ApiClient) -> None:
    now = datetime.now(UTC) - 80 * DAY
    served = Certificates(
        Kube(client, qps=1000, burst=1000), namespace="finetune", secret="reports-tls", hosts=HOSTS, clock=lambda: now
    )
    await served.refresh()
    trust = ssl.create_default_context(cadata=served.bundle)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=served.context)
    port = server.sockets[0].getsockname()[1]

    async def end_of_the_certificate() -> datetime:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
        peer = writer.get_extra_info("peercert")
        writer.close()
        return datetime.fromtimestamp(ssl.cert_time_to_seconds(peer["notAfter"]), UTC).replace(microsecond=0)

    before = await end_of_the_certificate()
    now += 80 * DAY
    new_bundle = await served.refresh()
    after = await end_of_the_certificate()
    server.close()

    assert (new_bundle, after - before) == (False, 80 * DAY)

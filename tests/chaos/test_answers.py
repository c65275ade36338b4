"""Every answer that an API server can give to a write, and none: the job ends as if nothing had been."""

import random
from collections import Counter
from http import HTTPStatus

import pytest
from tests.chaos.fixtures import Scene, chaos_job
from tests.chaos.proxy import Asked, Fault

FAULTS = {
    "conflict": Fault(HTTPStatus.CONFLICT),
    "busy": Fault(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"}),
    "broken": Fault(HTTPStatus.INTERNAL_SERVER_ERROR),
    "away": Fault(HTTPStatus.SERVICE_UNAVAILABLE),
    "forbidden": Fault(HTTPStatus.FORBIDDEN),
    "unauthorized": Fault(HTTPStatus.UNAUTHORIZED),
    "closed": Fault(),
    "lost": Fault(forwarded=True),
}
WRITES = 20
AT_ONCE = 40
"""Jobs: of all together none would end within a busy machine's patience, since one thread plays the node of all their pods."""


@pytest.mark.parametrize(
    "every", [pytest.param(1, marks=pytest.mark.chaos), pytest.param(6, marks=pytest.mark.slow)], ids=["each", "some"]
)
def test_one_write_that_fails_in_any_way_changes_nothing_in_the_end(stage: Scene, every: int) -> None:
    faults = {
        f"answer-{name}-{number:02}-resumes": (number, fault)
        for place, (name, fault) in enumerate(FAULTS.items())
        for number in range(1 + place % every, WRITES + 1, every)
    }
    writes: Counter[str] = Counter()
    met: set[str] = set()

    def plan(asked: Asked) -> Fault | None:
        name = next((each for each in asked.names if each in faults), "")
        if not asked.writes or not name:
            return None
        writes[name] += 1
        number, fault = faults[name]
        if writes[name] != number:
            return None
        met.add(name)
        return fault

    stage.proxy.plan = plan
    names, phases = [*faults], dict[str, str]()
    for first in range(0, len(names), AT_ONCE):
        group = names[first : first + AT_ONCE]
        stage.space.apply(*map(chaos_job, group))
        phases |= dict(zip(group, stage.end_of(*group), strict=True))

    assert len(met) > len(faults) / 3
    assert phases == dict.fromkeys(faults, "Succeeded")
    assert stage.history.violations() == []
    assert {name: stage.attempts(name) for name in faults} == {key: [(1, 1, 0), (2, 0, 20)] for key in faults}
    assert stage.deleted(*faults) == []


@pytest.mark.slow
def test_an_api_server_that_fails_every_third_request_and_asks_for_any_wait_delays_jobs_alone(stage: Scene) -> None:
    names = [f"third-{number}-resumes" for number in range(6)]
    chance = random.Random(8)
    waits = [Fault(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": asked}) for asked in ("3600", "inf", "nan", "-1")]
    kinds = [*FAULTS.values(), *waits]

    def plan(asked: Asked) -> Fault | None:
        own = asked.resource in ("leases", "discovery")
        return None if own or chance.random() > 1 / 3 else chance.choice(kinds)

    stage.proxy.plan = plan
    stage.space.apply(*map(chaos_job, names))

    phases = stage.end_of(*names)
    stage.proxy.plan = lambda _: None

    assert phases == ["Succeeded"] * len(names)
    assert stage.history.violations() == []
    assert stage.deleted(*names) == []

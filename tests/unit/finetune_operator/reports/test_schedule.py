"""When pods report: as often as the operator can take it, each in its turn."""

import itertools

import pytest

from finetune_operator.reports.schedule import Schedule


class Fleet:
    """So many pods that report as they are asked to, for so many seconds."""

    def __init__(self, pods: int, seconds: float) -> None:
        self.now = 0.0
        schedule = Schedule(per_second=80, interval=2, clock=lambda: self.now)
        due = {str(number): number / 1000 for number in range(pods)}
        self.reports: dict[str, list[float]] = {pod: [] for pod in due}
        while (pod := min(due, key=lambda each: due[each])) and due[pod] < seconds:
            self.now = due[pod]
            self.reports[pod].append(self.now)
            due[pod] = self.now + schedule.next_report(pod)

    def longest_pause(self, after: float) -> float:
        times = [[time for time in of_pod if time >= after] for of_pod in self.reports.values()]
        return max(later - earlier for of_pod in times for earlier, later in itertools.pairwise(of_pod))

    def rate(self, begin: float, end: float) -> float:
        return sum(begin <= time < end for of_pod in self.reports.values() for time in of_pod) / (end - begin)


def test_a_few_pods_report_as_often_as_what_they_report_is_written() -> None:
    fleet = Fleet(pods=10, seconds=60)

    assert fleet.longest_pause(after=20) < 2.5


@pytest.mark.thorough
def test_a_thousand_pods_report_within_fifteen_seconds_and_no_more_than_the_operator_takes() -> None:
    fleet = Fleet(pods=1000, seconds=60)

    assert fleet.longest_pause(after=0) < 15
    assert fleet.rate(20, 60) <= 81
    assert max(fleet.rate(second, second + 1) for second in range(20, 60)) <= 100


def test_the_pods_that_stay_report_more_often_once_others_have_gone() -> None:
    now = 0.0
    schedule = Schedule(per_second=10, interval=2, clock=lambda: now)
    for number in range(100):
        schedule.next_report(str(number))
    crowded = schedule.next_report("stays")
    now = crowded

    alone = schedule.next_report("stays")

    assert (crowded, alone) == (12.0, 2.0)


def test_a_pod_that_reports_all_the_time_takes_no_turn_of_others() -> None:
    schedule = Schedule(per_second=10, interval=2, clock=lambda: 0.0)

    for _ in range(1000):
        schedule.next_report("noisy")

    assert schedule.next_report("quiet") == 2.1


def test_no_pod_is_asked_to_wait_longer_than_the_contract_allows() -> None:
    schedule = Schedule(per_second=0.1, interval=2, clock=lambda: 0.0)

    assert max(schedule.next_report(str(number)) for number in range(100)) == 45.0

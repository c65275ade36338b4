"""Which reports of a job are kept."""

from tests.unit.finetune_operator.samples import at, received

from finetune_operator.reports.latest import LatestReports, News


def sequences(reports: LatestReports) -> dict[str, int]:
    return {uid: each.body.report.sequence for uid, each in reports.received.items() if each.body.report is not None}


def test_a_report_that_was_overtaken_is_dropped() -> None:
    reports = LatestReports()

    taken = [reports.take(received({"report": {"sequence": n, "stage": "Training"}})) for n in (2, 1)]

    assert (taken, sequences(reports)) == ([News.PHASE, News.NONE], {"pod-1": 2})


def test_the_first_report_of_a_pod_and_the_first_of_its_training_bring_a_phase_and_the_others_numbers() -> None:
    reports = LatestReports()
    stages = ["Preparing", "Preparing", "Training", "Evaluating", "Training", "Preparing"]

    taken = [
        reports.take(received({"report": {"sequence": number, "stage": stage}})) for number, stage in enumerate(stages)
    ]
    of_another = reports.take(received({"trainerStatus": {"progressPercentage": 3}}, 2))

    assert taken == [News.PHASE, News.NUMBERS, News.PHASE, News.NUMBERS, News.NUMBERS, News.PHASE]
    assert of_another is News.PHASE


def test_a_report_of_one_pod_does_not_take_the_place_of_another_s() -> None:
    reports = LatestReports()

    for number, sequence in ((1, 7), (2, 1), (1, 8)):
        reports.take(received({"report": {"sequence": sequence, "stage": "Training"}}, number))

    assert sequences(reports) == {"pod-2": 1, "pod-1": 8}


def test_since_when_a_pod_has_reported_without_a_long_pause_is_known() -> None:
    reports, seen = LatestReports(), []

    for number, seconds in enumerate((10, 100, 265, 431, 440)):
        reports.take(received({"report": {"sequence": number, "stage": "Training"}}, seconds=seconds))
        seen.append(reports.received["pod-1"].unbroken_since)
    reports.take(received({"report": {"sequence": 1, "stage": "Training"}}, seconds=450))
    reports.take(received({"report": {"sequence": 9, "stage": "Training"}}, 2, seconds=460))

    assert seen == [at(10), at(10), at(10), at(431), at(431)]
    assert [each.unbroken_since for each in reports.received.values()] == [at(431), at(460)]


def test_of_many_pods_those_that_reported_last_are_kept() -> None:
    reports = LatestReports()

    for number in (1, 2, 3, 4, 1, 5):
        reports.take(received({"report": {"sequence": number, "stage": "Training"}}, number))

    assert sequences(reports) == {"pod-3": 3, "pod-4": 4, "pod-1": 1, "pod-5": 5}


def test_what_was_wrong_with_the_first_report_is_kept_and_not_repeated() -> None:
    reports = LatestReports()

    news = [reports.refuse(why) for why in ("no stage", "no sequence")]

    assert (news, reports.unread) == ([True, False], "no stage")

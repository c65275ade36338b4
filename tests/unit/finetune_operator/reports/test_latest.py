"""Which report of a job is kept."""

from tests.unit.finetune_operator.samples import received

from finetune_operator.reports.latest import LatestReport


def test_a_report_that_was_overtaken_is_dropped() -> None:
    reports = LatestReport()
    for sequence in (2, 1):
        reports.take(received({"report": {"sequence": sequence, "stage": "Training"}}))

    assert reports.received is not None
    assert reports.received.body.report is not None
    assert reports.received.body.report.sequence == 2


def test_what_was_wrong_with_the_first_report_is_kept_and_not_repeated() -> None:
    reports = LatestReport()

    news = [reports.refuse(why) for why in ("no stage", "no sequence")]

    assert (news, reports.unread) == ([True, False], "no stage")

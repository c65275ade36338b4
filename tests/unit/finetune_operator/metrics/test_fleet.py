"""What there is, is counted when somebody asks, whatever the statuses hold."""

from tests.unit.finetune_operator.metrics.scrape import samples

from finetune_operator.metrics.fleet import Fleet


def test_jobs_are_counted_by_namespace_phase_and_reason_and_watches_have_an_age() -> None:
    standings = {
        ("team-a", "Running Training"): 3,
        ("team-a", "Failed ColumnNotFound"): 1,
        ("team-b", ""): 2,
        ("team-b", "Running MadeUp"): 1,
        ("team-b", "Running AlsoMadeUp"): 1,
        ("team-b", "Dancing Training"): 1,
    }
    fleet = Fleet(jobs=lambda: standings, watches=lambda: {"pods": 4.5})

    found = samples(fleet)

    assert {name[1:]: count for name, count in found.items() if name[0] == "finetune_jobs"} == {
        ("team-a", "Failed", "ColumnNotFound"): 1,
        ("team-a", "Running", "Training"): 3,
        ("team-b", "Unknown", "Other"): 2,
        ("team-b", "Running", "Other"): 2,
        ("team-b", "Unknown", "Training"): 1,
    }
    assert found["finetune_watch_age_seconds", "pods"] == 4.5

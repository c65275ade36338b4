"""Names are short enough, valid, and never the same for two jobs."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.job.names import child_names, claim_name, job_name, label_value, run_secret_prefix, service_name

_DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=8).map(".".join).filter(lambda name: len(name) <= 253)
uids = st.uuids().map(str)
runs = st.integers(1, 1_000_000)


@pytest.mark.slow
@given(names, uids, runs)
def test_every_name_is_a_dns_name_of_at_most_63_characters(name: str, uid: str, run: int) -> None:
    of_run = child_names(name, uid, run)
    made = [of_run.job, of_run.preflight_job, of_run.run_secret, of_run.claim]

    assert all(len(each) <= 63 and _DNS.fullmatch(each) for each in made)
    assert len(label_value(name)) <= 63
    assert _LABEL.fullmatch(label_value(name))


@pytest.mark.slow
@given(names, runs)
def test_the_pods_of_a_job_and_its_service_have_dns_labels(name: str, run: int) -> None:
    last_host, service = f"{job_name(name, run)}-255", service_name(name, run)

    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", last_host)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", service)


@pytest.mark.slow
@given(names, names, uids)
def test_two_jobs_never_share_a_name(one: str, other: str, uid: str) -> None:
    same = one == other

    assert (job_name(one) == job_name(other)) == same
    assert (run_secret_prefix(one) == run_secret_prefix(other)) == same
    assert (claim_name(one, uid) == claim_name(other, uid)) == same


@given(names)
def test_a_job_cannot_be_named_like_the_shortened_child_of_another(name: str) -> None:
    shortened = job_name(name)

    assert job_name(shortened) == shortened if shortened == name else job_name(shortened) != shortened


@given(names, names, st.integers(1, 99), st.integers(1, 99))
def test_two_runs_never_share_a_job(one: str, other: str, first: int, second: int) -> None:
    same = (one, first) == (other, second)
    of_one, of_other = child_names(one, "a", first), child_names(other, "a", second)

    assert (of_one.job == of_other.job) == same
    assert (of_one.preflight_job == of_other.preflight_job) == same
    assert (of_one.run_secret == of_other.run_secret) == same


def test_a_run_that_follows_has_its_number_in_its_names_and_shares_the_claim() -> None:
    first, second = child_names("yelp", "0f9be1d4-56ac"), child_names("yelp", "0f9be1d4-56ac", 2)

    assert (second.job, second.run_secret) == ("yelp-r2-cdd612c40d", "yelp-r2-cdd612c40d-run")
    assert second.claim == first.claim


def test_a_short_name_stays_readable() -> None:
    made = (
        job_name("yelp"),
        run_secret_prefix("yelp"),
        claim_name("yelp", "0f9be1d4-56ac"),
        label_value("yelp"),
        service_name("yelp"),
    )

    assert made == ("yelp", "yelp-run", "yelp-0f9be1d4", "yelp", "ft-yelp")


def test_a_name_with_dots_or_with_what_looks_like_a_hash_gets_one() -> None:
    assert job_name("llama-3.1-8b") == "llama-3-1-8b-7b633509d0"
    assert job_name("yelp-0123456789") == "yelp-0123456789-794b09c9f8"

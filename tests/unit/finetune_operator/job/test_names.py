"""Names are short enough, valid, and never the same for two jobs."""

import re

from hypothesis import given
from hypothesis import strategies as st

from finetune_operator.job.names import claim_name, config_map_name, job_name, label_value, service_name

_DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=8).map(".".join).filter(lambda name: len(name) <= 253)
uids = st.uuids().map(str)


@given(names, uids)
def test_every_name_is_a_dns_name_of_at_most_63_characters(name: str, uid: str) -> None:
    made = [job_name(name), config_map_name(name), claim_name(name, uid)]

    assert all(len(each) <= 63 and _DNS.fullmatch(each) for each in made)
    assert len(label_value(name)) <= 63
    assert _LABEL.fullmatch(label_value(name))


@given(names)
def test_the_pods_of_a_job_and_its_service_have_dns_labels(name: str) -> None:
    last_host, service = f"{job_name(name)}-255", service_name(name)

    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", last_host)
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", service)


@given(names, names, uids)
def test_two_jobs_never_share_a_name(one: str, other: str, uid: str) -> None:
    same = one == other

    assert (job_name(one) == job_name(other)) == same
    assert (config_map_name(one) == config_map_name(other)) == same
    assert (claim_name(one, uid) == claim_name(other, uid)) == same


@given(names)
def test_a_job_cannot_be_named_like_the_shortened_child_of_another(name: str) -> None:
    shortened = job_name(name)

    assert job_name(shortened) == shortened if shortened == name else job_name(shortened) != shortened


def test_a_short_name_stays_readable() -> None:
    made = (
        job_name("yelp"),
        config_map_name("yelp"),
        claim_name("yelp", "0f9be1d4-56ac"),
        label_value("yelp"),
        service_name("yelp"),
    )

    assert made == ("yelp", "yelp-run", "yelp-0f9be1d4", "yelp", "ft-yelp")


def test_a_name_with_dots_or_with_what_looks_like_a_hash_gets_one() -> None:
    assert job_name("llama-3.1-8b") == "llama-3-1-8b-7b633509d0"
    assert job_name("yelp-0123456789") == "yelp-0123456789-794b09c9f8"

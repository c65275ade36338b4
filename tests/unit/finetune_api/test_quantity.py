"""A quantity means the same here as to the official client."""

from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils import quantity as official

from finetune_api.quantity import parse_quantity

_SUFFIXES = ["", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi"]
_NUMBERS = st.from_regex(r"\A([0-9]{1,9}([.][0-9]{0,3})?|[.][0-9]{1,3})\Z")


@given(_NUMBERS, st.sampled_from(_SUFFIXES))
def test_a_number_with_any_suffix_is_what_the_official_client_reads(number: str, suffix: str) -> None:
    assert parse_quantity(number + suffix) == official.parse_quantity(number + suffix)


def test_an_exponent_is_a_power_of_ten() -> None:
    assert [parse_quantity(text) for text in ("1e3", "2E6", "1.5e1")] == [1000, 2_000_000, 15]

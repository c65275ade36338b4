"""Signatures that the libraries of Standard Webhooks verify."""

from datetime import UTC, datetime

import pytest

from finetune_operator.notify.signature import read_keys, signature_headers

# From the specification's own libraries, which all test against it.
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, MOMENT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", datetime.fromtimestamp(1614265330, UTC), b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_signature_is_that_of_the_specification() -> None:
    assert signature_headers(ID, MOMENT, BODY, read_keys(KEY)) == {
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_of_two_keys_each_signs_so_that_one_can_take_the_other_s_place() -> None:
    other = "whsec_" + "A" * 32

    headers = signature_headers(ID, MOMENT, BODY, read_keys(f"{other}  {KEY.removeprefix('whsec_')}\n"))

    first, second = headers["webhook-signature"].split(" ")
    assert first != second == SIGNATURE


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        ("whsec_", "has 0 bytes, and needs 24 random ones"),
        ("c2hvcnQ=", "has 5 bytes, and needs 24 random ones"),
        ("https://hooks.slack.com/services/T0/B0/x", "is not whsec_ and base64"),
        ("é" * 40, "is not whsec_ and base64"),
        (f"{KEY} " * 5, "has 5 keys, and at most 4 sign"),
    ],
)
def test_a_key_that_signs_nothing_is_refused_in_words_without_it(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        read_keys(text)

    assert text == "" or text not in str(caught.value)

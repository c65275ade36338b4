"""No secret leaves by a message, however it is spelled in it."""

import base64
import html
import json
import logging
import sys
import threading
from urllib.parse import quote, quote_plus

import pytest

from finetune_trainer.base.errors import output_error
from finetune_trainer.base.redaction import HIDDEN, Redactor, guard_logs, redact
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.failure import known_failure, unknown_failure
from finetune_trainer.storage.web import WebFile

SECRET = "wJalr/XUtnFEMI+K7MDENG=bPxRfi"
KEY_LINES = ["-----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "-----END PRIVATE KEY-----"]


@pytest.fixture
def planted() -> str:
    redact.remember([SECRET])
    return SECRET


@pytest.mark.parametrize("spelled", [SECRET, quote(SECRET, safe=""), f"x{SECRET}y"])
def test_a_known_secret_is_replaced_as_it_is_and_in_addresses(spelled: str) -> None:
    redactor = Redactor()
    redactor.remember([f"{SECRET}\n"])

    assert redactor(f"GET https://host/?key={spelled} failed") == f"GET https://host/?key={spelled} failed".replace(
        spelled.strip("xy"), "***"
    )


def test_the_private_key_of_a_key_file_is_replaced_line_by_line_and_in_json() -> None:
    key_file = json.dumps({"type": "service_account", "private_key": "\n".join(KEY_LINES), "client_email": "a@b.c"})
    redactor = Redactor()
    redactor.remember([key_file])

    assert redactor(f"cannot parse {key_file}") == "cannot parse ***"
    assert KEY_LINES[1] not in redactor(f"bad line {KEY_LINES[1]}")
    assert KEY_LINES[1] not in redactor(json.dumps({"private_key": "\n".join(KEY_LINES)}))
    assert redactor("service_account a@b.c") == "service_account a@b.c"


def test_the_key_within_a_connection_string_is_replaced() -> None:
    redactor = Redactor()
    redactor.remember(["DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5LWtleS1rZXk=;EndpointSuffix=x"])

    assert redactor("signature with a2V5LWtleS1rZXk= failed for acc") == "signature with *** failed for acc"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("cannot reach https://me:pass@host/x", "cannot reach https://***@host/x"),
        ("token hf_abcdefghijklmnopqrstuvwx is bad", "token *** is bad"),
        ("?sv=2024&sig=abc%2Bdef&se=1", "?sv=2024&sig=***&se=1"),
        ("X-Amz-Signature=0123abcd&X-Amz-Date=1", "X-Amz-Signature=***&X-Amz-Date=1"),
        ("X-Goog-Signature=0123abcd&X-Goog-Date=1", "X-Goog-Signature=***&X-Goog-Date=1"),
        ("AccountName=a;AccountKey=Zm9vYmFy;x", "AccountName=a;AccountKey=***;x"),
        ("Authorization: Bearer eyJhbGciOi.J9", "Authorization: Bearer ***"),
        ("\n".join(KEY_LINES), "***"),
        ("user AKIAIOSFODNN7EXAMPLE", "user ***"),
    ],
)
def test_what_looks_like_a_secret_is_replaced_though_it_is_not_known(text: str, clean: str) -> None:
    assert Redactor()(text) == clean


def test_the_query_of_a_source_at_a_web_address_is_replaced() -> None:
    WebFile("https://host/x.csv?token=0123abcd")

    assert redact("cannot read https://host/x.csv?token=0123abcd") == "cannot read https://host/x.csv?***"


def test_short_values_and_usual_text_are_left_alone() -> None:
    redactor = Redactor()
    redactor.remember(["test", "", "  "])

    text = "test: s3://bucket/path, step 12 of 24, https://host:8443/x, file:///a@b"
    assert redactor(text) == text


def test_log_records_of_any_logger_and_their_tracebacks_hold_no_secret(
    planted: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As it is before a trainer has run in this process, which guards the logs for good.
    for place in (threading, sys):
        monkeypatch.setattr(place, "excepthook", place.excepthook)
    factory = logging.getLogRecordFactory()
    logging.setLogRecordFactory(logging.LogRecord)
    try:
        guard_logs()
        try:
            raise ValueError(f"wrong key {planted}")
        except ValueError as error:
            logging.getLogger("some.library").exception("cannot use %s: %s", planted, error)
            logging.getLogger("some.library").error(error)
        thread = threading.Thread(target=lambda: [][len(planted)], name=f"thread-{planted}")
        thread.start()
        thread.join()
    finally:
        logging.setLogRecordFactory(factory)

    assert planted not in caplog.text
    assert "cannot use ***: wrong key ***" in caplog.text
    assert "ValueError: wrong key ***" in caplog.text
    assert "thread-*** ended by an exception" in caplog.text


def test_failures_and_reports_hold_no_secret(planted: str) -> None:
    state = RunState()
    state.stage("Preparing", f"reading with {planted}")
    try:
        try:
            raise KeyError(planted)
        except KeyError as inner:
            raise RuntimeError(f"request signed with {planted} failed") from inner
    except RuntimeError as error:
        unforeseen = unknown_failure(error)
    told = known_failure(output_error("StorageFailed", f"{planted} is bad", f"replace {planted}"))

    for text in (state.report().model_dump_json(), unforeseen.model_dump_json(), told.model_dump_json()):
        assert planted not in text
        assert "***" in text


ODD = "p\u00e4ss w\u00f6rd\"with\\\\odd'&<signs>/+=?"
"""A password that no spelling leaves as it is."""


@pytest.mark.parametrize(
    "spelled",
    [
        pytest.param(ODD, id="as it is"),
        pytest.param(quote(ODD, safe=""), id="in a URL"),
        pytest.param(quote(ODD), id="in a path"),
        pytest.param(quote_plus(ODD), id="in a form"),
        pytest.param(json.dumps(ODD), id="in JSON"),
        pytest.param(json.dumps(ODD, ensure_ascii=False), id="in JSON as text"),
        pytest.param(repr(ODD), id="as Python shows it"),
        pytest.param(repr(ODD.encode()), id="as bytes"),
        pytest.param(html.escape(ODD), id="in XML"),
        pytest.param(ODD.encode().hex(), id="as hexadecimal digits"),
        *(
            pytest.param(
                base64.b64encode(before.encode() + ODD.encode() + b"xyz").decode(), id=f"in a header after {before}"
            )
            for before in ("", "u:", "me:", "you:")
        ),
        pytest.param(base64.urlsafe_b64encode(b"user:" + ODD.encode()).decode(), id="in base64 of URLs"),
    ],
)
def test_a_secret_is_found_however_it_is_spelled(spelled: str) -> None:
    redactor = Redactor()
    redactor.remember([ODD])

    told = redactor(f"before {spelled} after")

    assert HIDDEN in told
    left = told.replace("before ", "").replace(" after", "").replace(HIDDEN, "")
    assert len(left) <= 12, left


def test_the_beginning_of_a_secret_that_was_cut_is_found_too() -> None:
    redactor = Redactor()
    redactor.remember(["a1B2c3D4e5F6g7H8i9J0k1L2m3"])

    assert redactor("a message that was cut at a1B2c3D4e5F6g7H8") == "a message that was cut at ***"


def test_of_secrets_that_begin_alike_none_is_shown_further_than_they_do() -> None:
    redactor = Redactor()
    secrets = [f"sk-service-v1-{letter * 9}{letter.upper() * 9}" for letter in "abc"]
    redactor.remember(secrets)

    assert [redactor(f"cut at {secret[:27]}") for secret in secrets] == ["cut at ***"] * 3


@pytest.mark.parametrize(
    ("secret", "part"),
    [
        ("[default]\naws_access_key_id = AKIDODD\naws_secret_access_key = q8Zt+odd/secret\n", "q8Zt+odd/secret"),
        (
            "machine host.example login me password odd-password-1\nmachine other password odd-password-2",
            "odd-password-2",
        ),
        (json.dumps({"auths": {"registry": {"auth": "dXNlcjpvZGQtcGFzcw=="}}}), "dXNlcjpvZGQtcGFzcw=="),
        (json.dumps([{"whatever": ["deep-odd-secret"]}]), "deep-odd-secret"),
        ("PASSWORD='quoted-odd-secret'\nexport TOKEN=other-odd-secret", "quoted-odd-secret"),
        ("one;two=odd-part-of-it;three", "odd-part-of-it"),
        ("\r\n  spaced-odd-secret  \r\n", "spaced-odd-secret"),
    ],
)
def test_what_is_secret_within_a_file_is_found_by_itself(secret: str, part: str) -> None:
    redactor = Redactor()
    redactor.remember([secret])

    assert redactor(f"refused: {part}") == "refused: ***"


def test_what_the_manifest_says_is_no_secret_though_a_secret_holds_it_too() -> None:
    redactor = Redactor()
    redactor.remember(["models-of-team-a", "models-of-team-a/but-this-is"])
    redactor.publish(["s3://models-of-team-a/yelp"])
    redactor.remember(["models-of-team-a"])

    assert redactor("cannot write s3://models-of-team-a/yelp") == "cannot write s3://models-of-team-a/yelp"
    assert redactor("models-of-team-a/but-this-is") == "***"


def test_texts_at_any_depth_are_replaced_and_numbers_stay_numbers() -> None:
    redactor = Redactor()
    redactor.remember(["123456"])

    tree = redactor.tree({"a": ["x123456", {"123456": 0.123456}], "b": 123456, "c": None})

    assert tree == {"a": ["x***", {"***": 0.123456}], "b": 123456, "c": None}


def test_a_token_of_kubernetes_is_known_by_its_form() -> None:
    assert redact("Bearer: eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW0ifQ.c2ln-_bmF0 ended") == "Bearer: *** ended"


def test_a_log_holds_nothing_that_a_terminal_obeys(caplog: pytest.LogCaptureFixture) -> None:
    factory = logging.getLogRecordFactory()
    try:
        guard_logs()
        logging.getLogger("some.library").error("class \x1b[2J\u202egnp.exe\x07 of %s", "two\nlines")
    finally:
        logging.setLogRecordFactory(factory)

    assert not set("\x1b\u202e\x07") & set(caplog.text)
    assert "two\nlines" in caplog.text

"""No secret leaves by a message, however it is spelled in it."""

import json
import logging
import threading
from urllib.parse import quote

import pytest

from finetune_trainer.base.errors import output_error
from finetune_trainer.base.redaction import Redactor, guard_logs, redact
from finetune_trainer.progress.state import RunState
from finetune_trainer.run.failure import known_failure, unknown_failure
from finetune_trainer.storage.bucket import Bucket

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
    Bucket("https://host/x.csv?token=0123abcd", "dataset")

    assert redact("cannot read https://host/x.csv?token=0123abcd") == "cannot read https://host/x.csv?***"


def test_short_values_and_usual_text_are_left_alone() -> None:
    redactor = Redactor()
    redactor.remember(["test", "", "  "])

    text = "test: s3://bucket/path, step 12 of 24, https://host:8443/x, file:///a@b"
    assert redactor(text) == text


def test_log_records_of_any_logger_and_their_tracebacks_hold_no_secret(
    planted: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    factory = logging.getLogRecordFactory()
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

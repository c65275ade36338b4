"""A data set of the Hub is looked at by its viewer: here one on loopback that answers as that does."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from finetune.errors import FineTuneError, NotFound, Refused
from finetune.proposal.hub import hub_id, read_hub_sample
from finetune.proposal.sample import Sample

ROWS = [{"text": "good", "label": 1}, {"text": "bad", "label": 0}]
FIRST_ROWS = {
    "features": [{"feature_idx": 0, "name": "text", "type": {}}, {"feature_idx": 1, "name": "label", "type": {}}],
    "rows": [{"row_idx": number, "row": row, "truncated_cells": []} for number, row in enumerate(ROWS)],
}
COLUMNS = {"text": ["good", "bad"], "label": [1, 0]}


def splits(**configs: list[str]) -> dict[str, Any]:
    return {
        "splits": [
            {"dataset": "org/x", "config": config, "split": name} for config, names in configs.items() for name in names
        ]
    }


@contextmanager
def viewer(answers: dict[str, tuple[int, Any]], asked: list[str] | None = None) -> Iterator[str]:
    """A server with an answer for each path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if asked is not None:
                asked.append(self.path)
            code, answer = answers[urlsplit(self.path).path]
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        ({"default": ["train", "test"]}, Sample(COLUMNS, 2, False, "test", "train", None)),
        ({"en": ["validation", "train", "test"]}, Sample(COLUMNS, 2, False, "validation", "train", "en")),
        ({"default": ["test"]}, Sample(COLUMNS, 2, False, None, "test", None)),
    ],
)
def test_the_training_split_is_shown_and_one_to_evaluate_on_is_found(
    configs: dict[str, list[str]], expected: Sample
) -> None:
    asked: list[str] = []
    with viewer({"/splits": (200, splits(**configs)), "/first-rows": (200, FIRST_ROWS)}, asked) as address:
        found = read_hub_sample("org/x", viewer=address)

    assert found == expected
    query = {name: values[0] for name, values in parse_qs(urlsplit(asked[1]).query).items()}
    assert query == {"dataset": "org/x", "config": next(iter(configs)), "split": expected.train}


def test_of_several_configurations_one_must_be_named() -> None:
    with viewer(
        {"/splits": (200, splits(cola=["train"], mrpc=["train"])), "/first-rows": (200, FIRST_ROWS)}
    ) as address:
        with pytest.raises(Refused, match="org/x has the configurations cola, mrpc: name one with --config"):
            read_hub_sample("org/x", viewer=address)
        assert read_hub_sample("org/x", "mrpc", viewer=address).config == "mrpc"


@pytest.mark.parametrize(("code", "kind"), [(404, NotFound), (401, NotFound), (500, FineTuneError)])
def test_what_the_hub_refuses_is_told_in_its_own_words(code: int, kind: type[FineTuneError]) -> None:
    with (
        viewer({"/splits": (code, {"error": "The dataset does not exist."})}) as address,
        pytest.raises(kind, match="The dataset does not exist"),
    ):
        read_hub_sample("org/x", viewer=address)


def test_a_hub_that_does_not_answer_is_named() -> None:
    with viewer({}) as address:
        pass

    with pytest.raises(FineTuneError, match="org/x cannot be looked at, since http://127"):
        read_hub_sample("org/x", viewer=address)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("org/name", "org/name"),
        ("hf://datasets/org/name", "org/name"),
        ("a/b/c", None),
        ("data.csv", None),
        ("./x/y", None),
    ],
)
def test_ids_of_the_hub_are_told_from_paths(text: str, expected: str | None) -> None:
    assert hub_id(text) == expected

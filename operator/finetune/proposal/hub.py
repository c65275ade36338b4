"""The first rows of a data set of the Hub, by its dataset viewer: https://huggingface.co/docs/dataset-viewer."""

import json
import os
import re
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from finetune.errors import FineTuneError, NotFound, Refused
from finetune.proposal.sample import Sample
from finetune_api.base import JsonObject

VIEWER: Final = "https://datasets-server.huggingface.co"
_ID: Final = re.compile(r"(hf://(datasets/)?)?(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)")
_EVALUATION: Final = ("validation", "test", "dev")
_SECONDS: Final = 30
_LARGEST: Final = 64 * 2**20


def hub_id(data: str) -> str | None:
    """Return the id of the data set that a text means, such as org/name; None if it cannot be one."""
    match = _ID.fullmatch(data)
    return match["id"] if match else None


def read_hub_sample(dataset: str, config: str | None = None, viewer: str = VIEWER) -> Sample:
    """Return the first 100 rows of the training split.

    Args:
        dataset: Its id, org/name.
        config: One of its configurations; the only one, or the one called default, if left out.
        viewer: Address of the dataset viewer.

    Raises:
        NotFound: There is no such data set, or it is private and HF_TOKEN does not open it.
        Refused: It has several configurations, or no rows to show.
        FineTuneError: The viewer does not answer.
    """
    splits = _ask(f"{viewer}/splits", dataset=dataset).get("splits") or []
    configs = list(dict.fromkeys(str(each["config"]) for each in splits))
    chosen = config or next((each for each in configs if each == "default" or len(configs) == 1), None)
    if chosen not in configs:
        raise Refused(f"{dataset} has the configurations {', '.join(configs[:20]) or 'none'}: name one with --config")
    names = [str(each["split"]) for each in splits if each["config"] == chosen]
    train = "train" if "train" in names else names[0]
    found = _ask(f"{viewer}/first-rows", dataset=dataset, config=chosen, split=train)
    rows = [each["row"] for each in found.get("rows") or []]
    columns = {str(each["name"]): [row.get(each["name"]) for row in rows] for each in found.get("features") or []}
    return Sample(
        columns,
        len(rows),
        whole=False,
        evaluation=next((each for each in _EVALUATION if each in names and each != train), None),
        train=train,
        config=None if chosen == "default" else chosen,
    )


def _ask(address: str, **query: str) -> JsonObject:
    token = os.environ.get("HF_TOKEN")
    headers = {"User-Agent": "finetune", **({"Authorization": f"Bearer {token}"} if token else {})}
    dataset = query["dataset"]
    try:
        with urlopen(Request(f"{address}?{urlencode(query)}", headers=headers), timeout=_SECONDS) as response:  # noqa: S310 - of https
            answer: Any = json.loads(response.read(_LARGEST))
    except HTTPError as error:
        with error:
            message = error.read(4096).decode(errors="replace")
        if error.code in (401, 403, 404):
            raise NotFound(f"{dataset} is not on the Hub, or HF_TOKEN does not open it: {message}") from error
        raise FineTuneError(f"the Hub cannot show {dataset} ({error.code}): {message}") from error
    except (OSError, ValueError) as error:
        raise FineTuneError(f"{dataset} cannot be looked at, since {address} does not answer: {error}") from error
    return answer if isinstance(answer, dict) else {}

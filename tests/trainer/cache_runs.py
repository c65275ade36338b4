"""Jobs that share a cache, and a Hub that counts what it sends. A program of its own: the Hub's address is read at import.

Takes a folder with `model/` and `data/`; prints a JSON object with what was downloaded in each part, by the file's name. Ten jobs
are ten threads here: each opens the files that it locks for itself, as processes do.
"""

import json
import os
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.trainer.hub_runs import Hub

from finetune_api.sources import Dataset, ModelSource
from finetune_trainer.__main__ import main
from finetune_trainer.storage.shared_cache import use_shared_cache

JOBS = 10
MODEL, DATA = "org/model", "org/data"


def run(folder: Path, name: str) -> int:
    """Train in this process, as on a machine that has nothing yet."""
    os.environ["XDG_CACHE_HOME"] = str(folder / name / "scratch")
    settings = {
        "task": "text-classification",
        "model": {"source": MODEL},
        "dataset": {"source": DATA, "train": {"split": "train"}, "evaluation": {"split": "test"}},
        "training": {"epochs": 0.1},
        "output": {"uri": f"file://{folder}/{name}/out"},
        "gpus": 0,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(settings))
    return main(["--config", str(folder / f"{name}.yaml")])


def load(_: int) -> int:
    """Find and load model and data, as a job does."""
    from transformers import AutoModel, AutoTokenizer

    from finetune_trainer.data.load_rows import load_rows
    from finetune_trainer.models.pretrained import find_pretrained

    found = find_pretrained(ModelSource(source=MODEL), {})
    AutoModel.from_pretrained(found.place, **found.arguments)
    AutoTokenizer.from_pretrained(found.place, **found.arguments)
    rows, _ = load_rows(Dataset.model_validate({"source": DATA, "train": {"split": "train"}}), {})
    return len(rows.dataset)


def runs(folder: Path) -> dict[str, Any]:
    Hub.repositories = {MODEL: folder / "model", DATA: folder / "data"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
    os.environ["HF_HOME"] = str(folder / "home")
    use_shared_cache()
    from finetune_trainer.run import commands  # noqa: F401 - with all that it imports, before there are threads

    with ThreadPoolExecutor(JOBS) as jobs:
        rows = list(jobs.map(load, range(JOBS)))
    found: dict[str, Any] = {"rows": rows, "ten jobs": taken()}
    found["codes"] = [run(folder, "one")]
    found["one more"] = taken()
    weights = next((folder / "cache/hub").glob("models--*/snapshots/*/model.safetensors"))
    content = weights.read_bytes()
    weights.resolve().write_bytes(content[:-4] + b"evil")
    found["codes"].append(run(folder, "two"))
    found["after a change"] = taken()
    found["as before"] = weights.read_bytes() == content
    return found


def taken() -> dict[str, int]:
    downloads = Counter(Hub.downloads)
    Hub.downloads.clear()
    return dict(downloads)


if __name__ == "__main__":
    result = runs(Path(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(result))

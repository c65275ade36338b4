"""Two attempts of one job, and a Hub that counts what it sends. A program of its own: the Hub's address is read at import.

Takes a folder with `model/` and `data/`. Prints a JSON object with what each attempt downloaded, by the file's name, how it
ended, and what was on the job's own volume then. The first one fails at its first step; the second one has nothing of the first one's
but the volume, and two processes.
"""

import json
import os
import shutil
import sys
import threading
from collections import Counter
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.trainer.hub_runs import Hub

from finetune_api.report import ENV_DOWNLOADS, ENV_TOKENS
from finetune_trainer.__main__ import main


def attempt(folder: Path, processes: int) -> dict[str, Any]:
    """Train on a machine that has nothing yet."""
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    settings = {
        "task": "text-classification",
        "model": {"source": "org/model"},
        "dataset": {"source": "org/data", "train": {"split": "train"}, "evaluation": {"split": "test"}},
        "training": {"epochs": 0.2, "batchSize": 2},
        "output": {"uri": "pvc://own"},
        "gpus": 0,
        "processesPerNode": processes,
    }
    (folder / "run.yaml").write_text(json.dumps(settings))
    code = main(["--config", str(folder / "run.yaml"), "--volume", f"own={folder / 'volume'}"])
    downloads = Counter(Hub.downloads)
    Hub.downloads.clear()
    return {"code": code, "downloads": downloads, "volume": sorted(path.name for path in (folder / "volume").iterdir())}


def runs(folder: Path) -> list[dict[str, Any]]:
    Hub.repositories = {"org/model": folder / "model", "org/data": folder / "data"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    (folder / "volume").mkdir()
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(folder / "scratch/huggingface"),
        "XDG_CACHE_HOME": str(folder / "scratch/cache"),
        ENV_DOWNLOADS: str(folder / "volume/.downloads"),
        ENV_TOKENS: str(folder / "volume/.tokens"),
    }
    from finetune_trainer.run import attempts

    def lost(*arguments: object) -> None:
        raise RuntimeError("the node is gone")

    once, attempts.train_to_last_step = attempts.train_to_last_step, lost  # type: ignore[assignment]
    first = attempt(folder, processes=1)
    attempts.train_to_last_step = once
    return [first, attempt(folder, processes=2)]


if __name__ == "__main__":
    result = runs(Path(sys.argv[1]))
    sys.stdout.write("\n" + json.dumps(result))

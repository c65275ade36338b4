"""Runs every example against a Hub behind a private authority, which nothing but a proxy leads to, and counts connections.

A program of its own: the libraries read their settings at import. Takes a folder with one folder for each run, which has
`run.yaml`; prints a JSON object with how each ended, and every connection of this process to another address than the proxy's.

What connects past Python's own sockets is not seen here: of the trainer's libraries that is Xet, which the Hub has to offer.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def others(proxy: str) -> list[str]:
    """Every name that is looked up and address that is connected to from now on, but the proxy's."""
    found: list[str] = []
    allowed = urlsplit(proxy)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.getaddrinfo":
            found.extend([str(arguments[:2])] if arguments[:2] != (allowed.hostname, allowed.port) else [])
        elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
            found.extend([str(arguments[1])] if arguments[1][:2] != (allowed.hostname, allowed.port) else [])
        elif event in ("socket.gethostbyname", "socket.gethostbyaddr"):
            found.append(str(arguments))

    sys.addaudithook(watch)
    return found


def main(folder: Path) -> None:
    found = others(os.environ["HTTPS_PROXY"])
    from finetune_trainer.__main__ import main as run

    ends = {}
    for each in sorted(path for path in folder.iterdir() if (path / "run.yaml").exists()):
        os.environ["FINETUNE_TERMINATION_LOG"] = str(each / "final")
        run(["--config", str(each / "run.yaml")])
        ends[each.name] = json.loads((each / "final").read_text())
    sys.stdout.write("\n" + json.dumps({"ends": ends, "others": found}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

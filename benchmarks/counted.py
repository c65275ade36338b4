"""Runs a Python program, and counts the requests that it sends by aiohttp: `python counted.py FILE MODULE-OR-SCRIPT`.

At SIGUSR1 it writes to FILE, as JSON, how many there were by verb and resource. Counted in the client, since an API server counts those of
everybody, and the dev cluster none.
"""

import collections
import json
import re
import runpy
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

_PATH = re.compile(
    r"/apis?(?:/[^/]+)?/v[^/]+(?:/namespaces/[^/]+)?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<part>[^/]+))?)?$"
)

counts: collections.Counter[str] = collections.Counter()


def label_of(method: str, url: Any) -> str:
    """Such as `GET jobs`, `LIST events`, `WATCH pods` and `PUT finetunejobs/status`."""
    found = _PATH.match(url.path)
    if found is None:
        return f"{method} other"
    plural, name, part = found["plural"], found["name"], found["part"]
    if method == "GET" and name is None:
        method = "WATCH" if url.query.get("watch") == "true" else "LIST"
    return f"{method} {plural}" + (f"/{part}" if part else "")


async def count(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """A middleware, which costs less than a trace."""
    counts[label_of(request.method, request.url)] += 1
    return await send(request)


def main() -> None:
    """Run the program as `python -m` or `python` would."""
    file, program = Path(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    plain = aiohttp.ClientSession.__init__

    def counted(self: aiohttp.ClientSession, *arguments: Any, **options: Any) -> None:
        plain(self, *arguments, **{**options, "middlewares": (*options.get("middlewares", ()), count)})

    def write(*_: object) -> None:
        other = file.with_suffix(".part")
        other.write_text(json.dumps(counts))
        other.replace(file)

    aiohttp.ClientSession.__init__ = counted  # type: ignore[method-assign]
    signal.signal(signal.SIGUSR1, write)
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

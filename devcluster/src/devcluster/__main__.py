"""`python -m devcluster`: a Kubernetes cluster in one process, until Ctrl-C."""

import argparse
import asyncio
import contextlib
import logging
import signal
import tempfile
from pathlib import Path

from devcluster.cluster import Options, running, thread_with_deep_stack

_ABOUT = """\
A small Kubernetes for demos and tests: the API, Jobs, and one node that runs pods as processes of this machine.
There is no isolation, no authorization (RBAC) and no container image: do not run what you would not run yourself.
"""


def main() -> None:
    arguments = _parser().parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with contextlib.ExitStack() as stack:
        state_dir = arguments.state_dir
        if state_dir is None:
            state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="devcluster-")))
        loop, stop = asyncio.new_event_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))

        failures: list[BaseException] = []

        def serve() -> None:
            try:
                with asyncio.Runner(loop_factory=lambda: loop) as runner:
                    runner.run(_serve(arguments, state_dir, stop))
            except BaseException as error:  # noqa: BLE001 - it is raised again
                failures.append(error)

        with thread_with_deep_stack(serve) as thread:
            thread.join()
        if failures:
            raise failures[0]


async def _serve(arguments: argparse.Namespace, state_dir: Path, stop: asyncio.Event) -> None:
    options = Options(gpus=arguments.gpus)
    async with running(state_dir, options, port=arguments.port, kubeconfig=arguments.kubeconfig) as cluster:
        print(f"export KUBECONFIG={cluster.kubeconfig}", flush=True)  # noqa: T201
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m devcluster", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state-dir", type=Path, help="logs, volumes and claims; a temporary folder if left out")
    parser.add_argument("--gpus", type=int, default=0, help="how many nvidia.com/gpu the node says that it has")
    parser.add_argument("--port", type=int, default=0, help="of the API server on 127.0.0.1; a free one if left out")
    parser.add_argument("--kubeconfig", type=Path, help="where to write it; in the state folder if left out")
    return parser


if __name__ == "__main__":
    main()

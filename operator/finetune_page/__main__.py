"""`python -m finetune_page`: the page in a pod, behind an authenticating proxy that passes on each user's token."""

import argparse

from aiohttp import web

from finetune_page.server import page_behind_proxy

PORT = 8090


def main() -> None:
    """Serve on all addresses of the pod until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m finetune_page", description=__doc__)
    parser.add_argument("--port", type=int, default=PORT)
    port = parser.parse_args().port
    web.run_app(page_behind_proxy(), port=port, access_log=None, print=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    main()

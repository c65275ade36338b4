"""`python -m finetune_page`: the page in a pod, behind an authenticating proxy that passes on each user's token."""

from aiohttp import web

from finetune_page.server import page_behind_proxy

PORT = 8090


def main() -> None:
    """Serve on all addresses of the pod until SIGTERM."""
    web.run_app(page_behind_proxy(), port=PORT, access_log=None, print=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    main()

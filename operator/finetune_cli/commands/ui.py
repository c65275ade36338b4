"""`finetune ui`: the page, for the person who starts it."""

import asyncio
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from finetune.errors import FineTuneError
from finetune_cli.options import Context, Kubeconfig, Namespace, Output
from finetune_cli.output import say, write


def ui(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on the loopback; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    output: Output = None,
) -> None:
    """Show jobs and curves in a browser. With the rights of your kubeconfig; Ctrl-C ends it."""
    # Only this command needs a server.
    from finetune_page.server import page_for_kubeconfig, serve_on_loopback

    async def show() -> None:
        app, guard = page_for_kubeconfig(namespace, kubeconfig, context)
        try:
            async with serve_on_loopback(app, port) as address:
                place = f"{address}/?token={guard.token}"
                say(f"The page is at {place}") if output is None else write(output, {"url": place})
                if browser:
                    await asyncio.to_thread(webbrowser.open, place)
                await asyncio.Event().wait()
        except OSError as error:
            raise FineTuneError(f"port {port} cannot be used: {error.strerror}") from error

    with suppress(KeyboardInterrupt):
        asyncio.run(show())

"""Serve the page on a port of this machine, reached from it alone, and reaching nothing else."""

import contextlib
from collections.abc import Iterator

import gradio as gr
from starlette.middleware import Middleware

from pixjax.errors import InputError
from pixjax.ui.controls import Averages
from pixjax.ui.page import build_page, style
from pixjax.ui.proxies import without_proxies

HERE = "127.0.0.1"

# Gradio's page compiles its templates in the browser, hence 'unsafe-eval'.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'; "
    "form-action 'self'; base-uri 'self'"
)


class _Policy:
    """ASGI middleware: a browser loads for the page what this server has, and nothing from elsewhere."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", _POLICY.encode())]
            await send(message)

        await self._app(scope, receive, send_with_policy)


@contextlib.contextmanager
def served(averages: Averages, title: str, port: int | None = None) -> Iterator[str]:
    """The address of the page, for as long as it is served.

    Args:
      port: None: the first free one from 7860.

    Raises:
      InputError: a port that cannot be had, or a model that cannot be sampled.
    """
    with without_proxies():
        page = build_page(averages, title)
        address = _launched(page, port)
    try:
        yield address
    finally:
        page.close(verbose=False)


def _launched(page: gr.Blocks, port: int | None) -> str:
    """Starts the server; its address."""
    try:
        _, address, _ = page.launch(
            server_name=HERE,
            server_port=port,
            share=False,
            inbrowser=False,
            prevent_thread_lock=True,
            quiet=True,
            root_path="",
            footer_links=[],
            run_history=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            app_kwargs={"middleware": [Middleware(_Policy)]},
            theme=gr.themes.Default(),
            css=style(),
        )
    except OSError:
        raise InputError(
            f"--port={port} cannot be had, in use or not allowed: choose another, or leave it out"
            if port
            else "no port from 7860 to 7959 is free: name one with --port=N"
        ) from None
    return address

"""Proxies are hidden from the page, which is reached from this machine alone."""

import contextlib
import os
import urllib.request
from collections.abc import Iterator


@contextlib.contextmanager
def without_proxies() -> Iterator[None]:
    """Hides `http_proxy`, `all_proxy` and the like from this process.

    Gradio asks its own server whether it is up: through a proxy it never is, and with one of SOCKS it does not even
    import. The browser that is opened afterwards gets them again.
    """
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.lower().endswith("_proxy")}
    try:
        yield
    finally:
        os.environ |= hidden


def note_on_proxies(host: str) -> str:
    """What to know where the environment sends programs such as curl through a proxy to `host`; empty where not."""
    proxies = urllib.request.getproxies_environment()
    if not proxies.keys() & {"http", "all"} or urllib.request.proxy_bypass(host):
        return ""
    return f"note: curl and the like ask the proxy of this environment for the page: add {host} to no_proxy for them"

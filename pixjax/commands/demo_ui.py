"""`pixjax demo-ui`: a page to sample with."""

import argparse

HELP = "a page, for this machine alone, to sample a model and see how its canvases come about"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run")
    parser.add_argument("--checkpoint", type=int, default=None, metavar="STEP", help="the newest unless given")
    parser.add_argument("--port", type=int, default=None, metavar="N", help="the first free one from 7860 unless given")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")


def run(args: argparse.Namespace) -> None:
    from pixjax.errors import InputError

    if args.port is not None and not 1 <= args.port <= 65535:
        raise InputError(f"--port={args.port} is no port: choose 1024 to 65535")
    from pixjax.ui.proxies import note_on_proxies, without_proxies

    try:
        with without_proxies():
            from pixjax.ui.serve import HERE, served
    except ImportError as error:
        raise InputError(f"the page needs a library ({error}): pip install 'pixjax[ui]'") from error
    from pixjax.runtime import set_up

    set_up()
    import time
    import webbrowser

    from pixjax.training.stop_signal import StopSignal
    from pixjax.ui.controls import Averages

    averages = Averages(args.workdir, args.checkpoint)
    title = f"{args.workdir}, step {averages.current.step}"
    with StopSignal("closing the page") as stop, served(averages, title, args.port) as address:
        print(f"{title}: {address} (for this machine alone; Ctrl-C ends it)", flush=True)
        if note := note_on_proxies(HERE):
            print(note, flush=True)
        if not args.no_browser:
            webbrowser.open(address)
        while not stop.received:
            time.sleep(0.2)

"""Exit codes that a launcher may be told to wait for."""

import argparse


def exit_code(text: str) -> int:
    """From 0 to 255, as `argparse` reads a flag: of a larger number the system passes on the lowest byte alone."""
    if not text.isdecimal() or not text.isascii() or int(text) > 255:
        raise argparse.ArgumentTypeError(f"{text} is no exit code: choose 0 to 255")
    return int(text)

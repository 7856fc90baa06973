"""`pixjax`, with a disk that fails once, in the second save that this process takes part in."""

import itertools
import sys

from orbax.checkpoint._src.checkpointers import async_checkpointer

from pixjax.cli import main

saves = itertools.count(1)
write = async_checkpointer._background_wait_for_commit_futures


def fail_once(*args, **kwargs):
    if next(saves) == 2:
        raise OSError(28, "No space left on device")
    return write(*args, **kwargs)


async_checkpointer._background_wait_for_commit_futures = fail_once
sys.exit(main())

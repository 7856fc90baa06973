"""Errors of reads that nobody asks for any more are told by nobody, whenever it is that they come."""

import asyncio
import gc

import pytest

from pixjax.checkpoints.event_loops import drained_event_loops


async def fail_after(rounds: int) -> None:
    """Raises in the round of the event loop that follows so many others."""
    for _ in range(rounds):
        await asyncio.sleep(0)
    raise ValueError(rounds)


async def read_all(rounds: int) -> None:
    await asyncio.gather(fail_after(0), fail_after(rounds))


@pytest.mark.parametrize("rounds", range(8))
def test_an_error_that_comes_after_the_first_is_asked_for(rounds, caplog):
    """Before the loop stops, in its last round, of which it tells nobody any more, or later; closed as by orbax."""
    with drained_event_loops():
        loop = asyncio.new_event_loop()
        with pytest.raises(ValueError, match="0"):
            loop.run_until_complete(read_all(rounds))
        loop.close()
    gc.collect()
    assert not caplog.records

"""The virtual clock goes on where a timer comes early, as one of a real loop may."""

import asyncio

from tests.unit.finetune_operator.virtual_time import run_in_virtual_time


def test_who_waits_for_a_moment_that_the_clock_has_nearly_reached_gets_there() -> None:
    async def program() -> float:
        loop = asyncio.get_running_loop()
        due, there = loop.time() + 1.0 + 4e-10, asyncio.Event()

        def look() -> None:
            if loop.time() < due:
                loop.call_at(due, look)
                # As long as something else is ready, the loop waits for no timer.
                loop.call_soon(lambda: None)
            else:
                there.set()

        loop.call_at(1.0, look)
        await there.wait()
        return loop.time()

    assert 1.0 < run_in_virtual_time(program()) < 1.001

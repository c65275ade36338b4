"""One request for many that ask the same at once. Time is virtual: nothing here depends on a machine's speed."""

import asyncio

import pytest
from tests.unit.finetune_operator.virtual_time import run_in_virtual_time

from finetune_operator.kube.one_answer import OneAnswer


class Server:
    """Takes ten seconds for an answer, and may then fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: BaseException | None = None

    async def ask(self, question: str) -> str:
        self.asked.append(question)
        await asyncio.sleep(10)
        if self.error is not None:
            raise self.error
        return f"answer to {question}"


def test_who_asks_while_another_waits_for_it_has_the_same_answer_and_who_asks_later_another() -> None:
    async def program() -> tuple[list[str], float, str]:
        answers = [one.to("a", lambda: server.ask("a")) for _ in range(5)] + [one.to("b", lambda: server.ask("b"))]
        found = await asyncio.gather(*answers)
        took = asyncio.get_running_loop().time()
        return found, took, await one.to("a", lambda: server.ask("a"))

    server, one = Server(), OneAnswer[str, str]()

    assert run_in_virtual_time(program()) == (5 * ["answer to a"] + ["answer to b"], 10, "answer to a")
    assert server.asked == ["a", "b", "a"]


def test_a_failure_is_that_of_all_who_wait_and_of_nobody_who_asks_after_it() -> None:
    async def program() -> tuple[list[object], float, str]:
        found = await asyncio.gather(*(one.to("a", lambda: server.ask("a")) for _ in range(5)), return_exceptions=True)
        took, server.error = asyncio.get_running_loop().time(), None
        return [*found], took, await one.to("a", lambda: server.ask("a"))

    server, one, error = Server(), OneAnswer[str, str](), TimeoutError()
    server.error = error

    assert run_in_virtual_time(program()) == (5 * [error], 10, "answer to a")


@pytest.mark.parametrize("error", [None, TimeoutError()], ids=["an answer", "a failure"])
def test_who_asked_first_may_be_cancelled_and_the_others_wait_on(error: BaseException | None) -> None:
    async def program() -> list[object]:
        first, *others = [asyncio.create_task(one.to("a", lambda: server.ask("a"))) for _ in range(3)]
        await asyncio.sleep(5)
        first.cancel()
        return [*await asyncio.gather(first, *others, return_exceptions=True)]

    server, one = Server(), OneAnswer[str, str]()
    server.error = error

    first, *others = run_in_virtual_time(program())

    assert isinstance(first, asyncio.CancelledError)
    assert others == 2 * [error or "answer to a"]
    assert server.asked == ["a"]

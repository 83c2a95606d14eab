"""Which call a line of the log belongs to."""

import asyncio

from phonebot.log_context import MAX_CHARACTERS, belongs_to_call, bound, current_call, within_call


async def test_tasks_that_a_call_begins_belong_to_it_and_others_do_not() -> None:
    async def told() -> str:
        await asyncio.sleep(0)
        return current_call()

    with within_call("CA1"):
        of_call = asyncio.create_task(told())
    assert await asyncio.create_task(told()) == ""
    assert await of_call == "CA1"


async def test_what_a_task_belongs_to_ends_with_it() -> None:
    async def work() -> str:
        belongs_to_call("CA2" + "x" * MAX_CHARACTERS)
        return current_call()

    assert await asyncio.create_task(work()) == "CA2" + "x" * (MAX_CHARACTERS - 3)
    assert current_call() == ""


def test_a_bound_function_belongs_to_the_call_wherever_it_is_called_even_by_itself() -> None:
    def tell(again: int) -> list[str]:
        return [current_call(), *(told(again - 1) if again else [])]

    with within_call("CA3"):
        told = bound(tell)
    with within_call("CA4"):
        assert told(1) == ["CA3", "CA3"]
        assert current_call() == "CA4"

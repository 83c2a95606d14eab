"""That the proof of closure notices each kind of thing that a test may leave behind."""

import asyncio
import gc
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from closure import lasting, leaving_nothing
from model_driver import tone
from service_driver import MODEL_KEY, Clerk, Ear, no_session_left
from websockets.asyncio.client import connect

from phonebot.simulator.server import serve as serve_model

Undo = Callable[[], object]
"""Ends what was left."""


def a_task() -> Undo:
    return asyncio.create_task(asyncio.sleep(60), name="forgotten").cancel


def a_timer() -> Undo:
    return asyncio.get_running_loop().call_later(60, tone, 1).cancel


def a_socket() -> Undo:
    return socket.socket().close


def a_pipe() -> Undo:
    ends = os.pipe()

    def end() -> None:
        for each in ends:
            os.close(each)

    return end


def a_file() -> Undo:
    return Path(__file__).open().close


def a_thread() -> Undo:
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="forgotten")
    thread.start()

    def end() -> None:
        over.set()
        thread.join()

    return end


@contextmanager
def undone(undo: Undo) -> Iterator[None]:
    """What is left in a block is left no longer than that."""
    try:
        yield
    finally:
        undo()


@pytest.mark.parametrize(
    ("leave", "named"),
    [
        (a_task, "Task pending name='forgotten'"),
        (a_timer, "TimerHandle .* tone"),
        (a_socket, "descriptor .*socket"),
        (a_pipe, "descriptor .*pipe.*; descriptor .*pipe"),
        (a_file, r"descriptor .*test_closure\.py"),
        (a_thread, "thread forgotten"),
    ],
)
async def test_what_a_block_leaves_is_named(leave: Callable[[], Undo], named: str) -> None:
    undo: Undo = int
    try:
        with pytest.raises(AssertionError) as caught:
            async with leaving_nothing(within_s=0.05):
                undo = leave()
        assert re.search(f"left behind: .*{named}", str(caught.value))
    finally:
        undo()


@pytest.mark.parametrize("leave", [a_task, a_timer, a_socket, a_pipe, a_file, a_thread])
async def test_what_a_block_found_there_is_not_its_own(leave: Callable[[], Undo]) -> None:
    with undone(leave()):
        await asyncio.sleep(0)
        async with leaving_nothing(within_s=0.05):
            leave()()
            await asyncio.sleep(0)


def test_an_exception_that_nobody_caught_is_told_though_nothing_else_is_left() -> None:
    async def fail_unseen() -> None:
        async with leaving_nothing():
            asyncio.get_running_loop().create_task(failing())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            gc.collect()

    async def failing() -> None:
        raise ValueError("unseen")

    with pytest.raises(AssertionError, match=r"nobody caught: Task exception was never retrieved(.|\n)*unseen"):
        asyncio.run(fail_unseen())


async def test_what_a_fixture_of_a_wider_scope_opens_is_not_the_tests() -> None:
    with ExitStack() as later:
        async with leaving_nothing(within_s=0.05):
            with lasting():
                later.callback(a_socket())


async def test_a_model_session_that_a_stopped_service_left_open_is_told() -> None:
    async with serve_model(minds=Clerk, ear=Ear(), key=MODEL_KEY) as model:
        headers = {"Authorization": f"Bearer {MODEL_KEY}"}
        async with connect(model.url, additional_headers=headers, proxy=None) as forgotten:
            await forgotten.recv()
            with pytest.raises(AssertionError, match="model sessions left: "):
                await no_session_left(model, within_s=0.05)
        await no_session_left(model)

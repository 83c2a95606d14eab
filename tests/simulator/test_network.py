import base64
import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.simulator.carrier import SILENCE, Carrier
from phonebot.simulator.network import Link


def test_a_link_without_delay_delivers_at_once() -> None:
    link = Link[str]()
    link.send(5, "a")
    assert (link.next_due(), link.due(5), link.next_due(), len(link)) == (5, ["a"], None, 0)


def test_a_link_with_delay_delivers_that_much_later() -> None:
    link = Link[str](delay_ms=40)
    link.send(0, "a")
    link.send(10, "b")
    assert [link.due(39), link.due(40), link.next_due(), link.due(100)] == [[], ["a"], 50, ["b"]]


@given(st.lists(st.floats(0, 30), max_size=60), st.floats(0, 200), st.integers())
def test_jitter_never_reorders_nor_hastens_a_message(gaps_ms: list[float], jitter_ms: float, seed: int) -> None:
    link = Link[tuple[int, float]](delay_ms=20, jitter_ms=jitter_ms, rng=Random(seed))
    now_ms = 0.0
    for number, gap_ms in enumerate(gaps_ms):
        now_ms += gap_ms
        link.send(now_ms, (number, now_ms))
    numbers = []
    while (due_ms := link.next_due()) is not None:
        for number, sent_ms in link.due(due_ms):
            assert due_ms >= sent_ms + 20
            numbers.append(number)
    assert numbers == list(range(len(gaps_ms)))


def test_the_same_seed_gives_the_same_jitter() -> None:
    def delays() -> list[float | None]:
        link = Link[int](jitter_ms=50, rng=Random(7))
        due = []
        for number in range(20):
            link.send(number * 1000, number)
            due.append(link.next_due())
            link.due(number * 1000 + 50)
        return due

    assert delays() == delays()
    assert len(set(delays())) == 20


def test_a_negative_delay_is_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Link[str](delay_ms=-1)


def test_a_clear_reaches_the_carrier_and_its_echoes_the_server_a_delay_later() -> None:
    """The server sends 1.2 s of audio, then clears at 1910; it is told at 1980 what happened at 1950."""
    down, up = Link[str](delay_ms=40), Link[str](delay_ms=30)
    carrier = Carrier()
    carrier.start(stream_sid="MZ1", account_sid="AC1", call_sid="CA1")

    def message(event: str, **body: str) -> str:
        return json.dumps({"event": event, "streamSid": "MZ1"} | ({event: body} if body else {}))

    for name in ("p3200", "p6400", "p9600"):
        down.send(955, message("media", payload=base64.b64encode(b"a" * 3200).decode()))
        down.send(955, message("mark", name=name))
    down.send(1910, message("clear"))
    down.send(1910, message("mark", name="fence"))

    told = []
    for now_ms in range(100, 2501, 5):
        for arrived in down.due(now_ms) if now_ms % 20 else []:
            for echo in carrier.receive(arrived, now_ms):
                up.send(now_ms, echo)
        for sent in carrier.tick(now_ms, SILENCE) if now_ms % 20 == 0 else []:
            up.send(now_ms, sent)
        fields = [json.loads(text) for text in up.due(now_ms)]
        told += [f"{now_ms}:{one['mark']['name']}" for one in fields if one["event"] == "mark"]
    assert told == ["1430:p3200", "1830:p6400", "1980:p9600", "1990:fence"]
    assert carrier.heard_bytes() == 7680

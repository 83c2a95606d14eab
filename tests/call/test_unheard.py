"""What is sent once more after a pause: from the very byte, each item from its own."""

from base64 import b64encode

from phonebot.call.framing import Frames
from phonebot.call.unheard import Unheard


def b64(audio: bytes) -> str:
    return b64encode(audio).decode()


def two_items() -> Unheard:
    unheard = Unheard()
    unheard.append(Frames("item_1", 100, b64(b"abcd"), 4), 4)
    unheard.append(Frames("item_1", 104, b64(b"efgh\xff\xff"), 4), 10)
    unheard.append(Frames("item_2", 0, b64(b"ijk"), 3), 13)
    return unheard


def rest(unheard: Unheard, **heard: int) -> list[tuple[str, int, str]]:
    return [(each.item_id, each.item_start, each.payload) for each in unheard.rest(heard)]


def test_nothing_heard_is_all_of_it_once_more() -> None:
    assert rest(two_items(), item_1=100) == [
        ("item_1", 100, b64(b"abcd")),
        ("item_1", 104, b64(b"efgh\xff\xff")),
        ("item_2", 0, b64(b"ijk")),
    ]


def test_a_piece_is_cut_at_any_byte() -> None:
    assert rest(two_items(), item_1=105)[0] == ("item_1", 105, b64(b"fgh\xff\xff"))
    assert rest(two_items(), item_1=104)[0] == ("item_1", 104, b64(b"efgh\xff\xff"))


def test_the_filling_of_an_item_that_was_heard_is_not_sent_again() -> None:
    assert rest(two_items(), item_1=108) == [("item_2", 0, b64(b"ijk"))]
    assert rest(two_items(), item_1=108, item_2=3) == []


def test_what_is_known_to_be_heard_is_forgotten() -> None:
    unheard = two_items()
    unheard.forget_before(7)
    assert rest(unheard, item_1=107)[0] == ("item_1", 107, b64(b"h\xff\xff"))
    unheard.forget_before(10)
    assert rest(unheard) == [("item_2", 0, b64(b"ijk"))]

"""What changed between two profiles, as people read it."""

import pytest

from phonebot.agents.changes import Change, Piece, changes, merged, text_pieces

LINES = "".join(f"line {n}\n" for n in range(20))


def test_keys_that_changed_came_and_went_stand_in_the_order_of_the_form() -> None:
    before = {"record": False, "name": "desk", "barge_in": {"hold_ms": 100, "keys": True}, "voice": "marin"}
    after = {"name": "front desk", "barge_in": {"hold_ms": 200, "keys": True}, "max_call_s": 600, "voice": "marin"}
    assert changes(before, after) == [
        Change("name", "desk", "front desk"),
        Change("barge_in.hold_ms", "100", "200"),
        Change("max_call_s", None, "600"),
        Change("record", "false", None),
    ]


def test_nothing_changed() -> None:
    assert changes({"name": "desk"}, {"name": "desk"}) == []


def test_a_table_that_became_something_else_is_shown_as_both() -> None:
    assert changes({"transcription": {"language": "de"}}, {"transcription": False}) == [
        Change("transcription", None, "false"),
        Change("transcription.language", "de", None),
    ]


def test_of_a_text_the_words_that_changed_are_told_apart() -> None:
    assert list(text_pieces("You answer for Rosa. Be brief.", "You answer for Mario's. Be brief.")) == [
        Piece("same", "You answer for "),
        Piece("gone", "Rosa. "),
        Piece("new", "Mario's. "),
        Piece("same", "Be brief."),
    ]


def test_lines_far_from_a_change_are_counted_and_not_shown() -> None:
    (change,) = changes({"prompt": LINES}, {"prompt": LINES.replace("line 10\n", "line ten\n")})
    assert change.pieces == (
        Piece("skipped", "8"),
        Piece("same", "line 8\nline 9\n"),
        Piece("same", "line "),
        Piece("gone", "10\n"),
        Piece("new", "ten\n"),
        Piece("same", "line 11\nline 12\n"),
        Piece("skipped", "7"),
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "new"),
        ("one\ntwo\nthree\n", "one\nthree\nfour"),
        (LINES, LINES[::-1]),
        ("a b " * 5_000, "b a " * 5_000),  # too much to be compared word by word
    ],
)
def test_the_pieces_hold_both_texts(before: str, after: str) -> None:
    pieces = list(text_pieces(before, after))
    assert "".join(piece.text for piece in pieces if piece.fate != "new") == before
    assert "".join(piece.text for piece in pieces if piece.fate != "gone") == after


@pytest.mark.parametrize(
    ("ours", "result"),
    [
        ({"name": "desk", "greeting": "Hi"}, {"name": "desk", "greeting": "Hello", "voice": "marin"}),
        ({"name": "mine", "greeting": "Hi"}, {"name": "mine", "greeting": "Hello", "voice": "marin"}),
        ({"name": "desk", "greeting": "Hey"}, {"name": "desk", "greeting": "Hey", "voice": "marin"}),
        ({"name": "desk"}, {"name": "desk", "voice": "marin"}),
        (
            {"name": "desk", "greeting": "Hi", "record": False},
            {"name": "desk", "greeting": "Hello", "record": False, "voice": "marin"},
        ),
    ],
)
def test_what_two_changed_is_joined_key_by_key(ours: dict[str, object], result: dict[str, object]) -> None:
    base = {"name": "desk", "greeting": "Hi"}
    theirs = {"name": "desk", "greeting": "Hello", "voice": "marin"}
    assert merged(base, theirs, ours) == result

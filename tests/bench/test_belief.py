"""What the scripted model believes, and what it refuses."""

from phonebot.bench.belief import Belief


def of_items(**lengths_ms: int) -> Belief:
    belief = Belief()
    for item_id, ms in lengths_ms.items():
        belief.begin(item_id)
        belief.extend(item_id, ms)
    return belief


def test_a_model_believes_all_that_it_generated() -> None:
    belief = of_items(A=400, B=200)
    belief.extend("B", 200)

    assert belief.said_ms == {"A": 400, "B": 400}
    assert belief.told == 0


def test_a_truncation_cuts_an_item_and_is_confirmed() -> None:
    belief = of_items(A=4000)

    answer = belief.truncate("A", 3100, "event_1")

    assert answer == {
        "type": "conversation.item.truncated",
        "item_id": "A",
        "content_index": 0,
        "audio_end_ms": 3100,
    }
    assert belief.said_ms == {"A": 3100}
    assert belief.generated_ms == {"A": 4000}


def test_a_truncation_beyond_the_audio_is_refused_and_changes_nothing() -> None:
    belief = of_items(A=4000)

    answer = belief.truncate("A", 4001, "event_1")

    assert answer["error"]["message"] == "Audio content of 4000ms is already shorter than 4001ms"
    assert answer["error"]["event_id"] == "event_1"
    assert belief.said_ms == {"A": 4000}
    assert len(belief.refusals) == 1


def test_a_second_truncation_counts_what_the_first_has_left() -> None:
    belief = of_items(A=4000)
    belief.truncate("A", 1000, None)

    assert belief.truncate("A", 900, None)["type"] == "conversation.item.truncated"
    assert belief.truncate("A", 1000, None)["type"] == "error"
    assert belief.said_ms == {"A": 900}
    assert belief.told == 3


def test_late_audio_does_not_lengthen_what_was_truncated() -> None:
    belief = of_items(A=4000)
    belief.truncate("A", 1000, None)
    belief.extend("A", 200)

    assert belief.said_ms == {"A": 1000}
    assert belief.generated_ms == {"A": 4200}


def test_an_item_without_audio_cannot_be_truncated_but_deleted() -> None:
    belief = of_items(A=0)

    assert belief.truncate("A", 0, None)["error"]["code"] == "unsupported_content_type"
    assert belief.delete("A", None) == {"type": "conversation.item.deleted", "item_id": "A"}


def test_what_was_deleted_was_not_said_and_is_not_there_any_more() -> None:
    belief = of_items(A=4000, B=2000)
    belief.delete("B", None)

    assert belief.said_ms == {"A": 4000, "B": 0}
    assert belief.delete("B", None)["error"]["code"] == "item_delete_invalid_item_id"
    assert belief.truncate("B", 0, None)["error"]["code"] == "item_truncate_invalid_item_id"
    assert len(belief.refusals) == 2

"""The formula of most public bots, on what such a bot would have seen."""

from phonebot.bench.naive import NaiveBot


def playing(*deltas: tuple[int, str]) -> NaiveBot:
    """A bot that got deltas of these items when the newest media timestamp was this, and sent a mark after each."""
    bot = NaiveBot()
    for timestamp_ms, item_id in deltas:
        bot.receive_media(timestamp_ms)
        bot.receive_delta(item_id)
        bot.send_mark()
    return bot


def test_one_item_is_cut_at_the_time_since_its_first_delta() -> None:
    bot = playing((1000, "A"), (1050, "A"))
    bot.receive_media(4100)
    bot.interrupt()

    assert bot.said_ms({"A": 8000}) == {"A": 3100}


def test_of_two_items_the_second_is_cut_at_the_time_since_it_came_and_the_first_counts_as_heard() -> None:
    bot = playing((1000, "A"), (2000, "B"))
    bot.receive_media(3100)
    bot.interrupt()

    assert bot.said_ms({"A": 4000, "B": 6000}) == {"A": 4000, "B": 1100}


def test_a_truncation_beyond_the_item_is_refused_so_all_of_it_counts() -> None:
    bot = playing((1000, "A"))
    bot.receive_media(4000)
    bot.interrupt()

    assert bot.said_ms({"A": 2500}) == {"A": 2500}


def test_nothing_is_truncated_once_all_marks_have_come_back() -> None:
    bot = playing((1000, "A"))
    bot.receive_mark()
    bot.receive_media(3000)
    bot.interrupt()

    assert bot.said_ms({"A": 8000}) == {"A": 8000}


def test_after_an_interruption_the_next_item_starts_anew() -> None:
    bot = playing((1000, "A"))
    bot.receive_media(2000)
    bot.interrupt()
    bot.receive_media(5000)
    bot.receive_delta("B")
    bot.send_mark()
    bot.receive_media(5200)
    bot.interrupt()

    assert bot.said_ms({"A": 6000, "B": 6000}) == {"A": 1000, "B": 200}


def test_echoes_of_flushed_marks_pop_the_next_replys_so_that_its_interruption_does_nothing() -> None:
    bot = playing((1000, "A"), (1000, "A"))
    bot.receive_media(2000)
    bot.interrupt()
    bot.receive_delta("B")
    bot.send_mark()
    bot.receive_mark()
    bot.receive_mark()
    bot.receive_media(2200)
    bot.interrupt()

    assert bot.said_ms({"A": 6000, "B": 6000}) == {"A": 1000, "B": 6000}


def test_without_a_timestamp_at_the_first_delta_there_is_no_position() -> None:
    bot = NaiveBot()
    bot.receive_delta("A")
    bot.send_mark()
    bot.receive_media(2000)
    bot.interrupt()

    assert bot.said_ms({"A": 8000}) == {"A": 8000}

"""What the colleague is told of the caller."""

from phonebot.agents.profile import Profile
from phonebot.transfers.urls import Ticket
from phonebot.transfers.wording import whispered

CALL = Ticket("CA1", "+15550100001", "+15550100000", "default")


def test_a_whisper_tells_the_time_of_the_profiles_hours() -> None:
    table = {
        "transfer_to": "+15550100009",
        "transfer": {"whisper": "{caller}, at {now}. {summary}"},
        "hours": {"time_zone": "Asia/Tokyo", "monday": ["09:00-17:00"]},
    }
    told = whispered(Profile.from_table(table, "test"), CALL, "A bill.")
    assert told.startswith("+15550100001, at ")
    assert told.endswith("+09:00. A bill.")

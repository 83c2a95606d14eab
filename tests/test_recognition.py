"""A service proves that it has the secret key, and gives nothing else away."""

from phonebot.recognition import is_challenge, is_proved, new_challenge, proof


def test_who_has_the_key_is_recognised_and_nobody_else() -> None:
    challenge = new_challenge()
    assert is_challenge(challenge)
    assert is_proved("key", challenge, proof("key", challenge))
    assert not is_proved("key", challenge, proof("another", challenge))
    assert not is_proved("key", challenge, proof("key", new_challenge()))
    assert not is_proved("key", challenge, "")
    assert not is_proved("key", challenge, "é")


def test_what_nobody_made_as_a_challenge_is_none() -> None:
    assert not any(map(is_challenge, ("", "00", "A" * 32, "0" * 33, f"{'0' * 32}\n")))

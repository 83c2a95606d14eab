"""The language that the bot speaks once the caller wants another one: "", as its instructions say; else a tag."""

from msgspec.structs import replace

from phonebot.realtime.events import Session, Transcription

SPEAK = "From now on speak the language {language}, whatever else is said above: the caller asked for it."


def instructed(own: str, language: str) -> str:
    """What an agent is told, whose `own` instructions these are."""
    return f"{own}\n\n{SPEAK.format(language=language)}" if language else own


def expecting(transcription: Transcription, language: str) -> Transcription:
    """The caller is expected to speak it, too."""
    return replace(transcription, language=language.partition("-")[0])


def session_in(session: Session, language: str) -> Session:
    """The session of a call in which it is spoken from the begin."""
    if not language:
        return session
    session = replace(session, instructions=instructed(session.instructions or "", language))
    if isinstance(session.transcription, Transcription):
        session = replace(session, transcription=expecting(session.transcription, language))
    return session

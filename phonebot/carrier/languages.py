"""
The languages in which the carrier's own voice speaks (Twilio, TwiML Say, language, of the voice alice: who names
no voice is given it for these).

One that it does not know would cost the caller the sentence.
"""

SPOKEN = (
    *("ca-ES", "da-DK", "de-DE", "en-US", "en-AU", "en-CA", "en-GB", "en-IN", "es-ES", "es-MX", "fi-FI"),
    *("fr-FR", "fr-CA", "it-IT", "ja-JP", "ko-KR", "nb-NO", "nl-NL", "pl-PL", "pt-BR", "pt-PT", "ru-RU"),
    *("sv-SE", "zh-CN", "zh-HK", "zh-TW"),
)


def spoken_language(tag: str) -> str | None:
    """For a tag such as "de" or "de-AT" the one that comes nearest to it; None: the carrier speaks none like it."""
    wanted = tag.lower()
    for language in SPOKEN:
        if language.lower() == wanted:
            return language
    return next((language for language in SPOKEN if language[:2] == wanted.partition("-")[0]), None)

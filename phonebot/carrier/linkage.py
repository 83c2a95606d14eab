"""What is set on a number of the carrier's so that its calls come to us (Twilio, IncomingPhoneNumber resource)."""

VOICE_PATH, STATUS_PATH = "/twilio/voice", "/twilio/status"

ATTRIBUTES = {
    "VoiceUrl": "voice_url",
    "VoiceMethod": "voice_method",
    "VoiceFallbackUrl": "voice_fallback_url",
    "VoiceFallbackMethod": "voice_fallback_method",
    "StatusCallback": "status_callback",
    "StatusCallbackMethod": "status_callback_method",
    "VoiceApplicationSid": "voice_application_sid",
}
"""The names of the parameters in what the API answers."""


def linkage(public_url: str) -> dict[str, str]:
    """
    The parameters of a number that calls the service at `public_url`.

    Calls go to the voice webhook, and once more if that fails: behind a load balancer another process answers then.
    With an application on the number, Twilio ignores both.
    """
    voice, status = f"{public_url}{VOICE_PATH}", f"{public_url}{STATUS_PATH}"
    return dict(zip(ATTRIBUTES, (voice, "POST", voice, "POST", status, "POST", ""), strict=True))

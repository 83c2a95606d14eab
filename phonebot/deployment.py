"""
What the settings make of a deployment: its models, its account at the carrier, the functions that it has.

Nothing here connects to anything.
"""

from pydantic import SecretStr

from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.audio.melody import melody
from phonebot.audio.recordings import read_recording
from phonebot.call.plan import CarrierTraits
from phonebot.carrier.account import CarrierAccount
from phonebot.errors import AudioError, SettingsError
from phonebot.messages.taking import TakeMessage
from phonebot.outbound.opting_out import OptOut
from phonebot.realtime import providers
from phonebot.realtime.providers import Endpoint
from phonebot.settings import Settings
from phonebot.tools.builtin import EndCall, PressKeys, SetLanguage
from phonebot.tools.registry import load_function, load_guardrails, load_tools
from phonebot.tools.workshop import Workshop
from phonebot.transfers.function import TransferCall
from phonebot.web.crowds import Bounds

CHEAP_MODEL = "gpt-realtime-2.1-mini"  # of OpenAI's list prices the lowest for text (realtime/prices.py)


def local_url(host: str, port: int) -> str:
    """The public URL of a service that is reached from this machine alone."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def workshop_for(settings: Settings) -> Workshop:
    """What runs functions in this deployment. Raises SettingsError for names of functions that there are not."""
    formatter = settings.tool_error_formatter
    return Workshop(
        load_tools(settings.tools),
        settings.secrets,
        settings.tool_hosts,
        load_function(formatter, "PHONEBOT_TOOL_ERROR_FORMATTER") if formatter else None,
        load_guardrails(settings.tools),
        builtins=(EndCall(), PressKeys(), SetLanguage(), TakeMessage(None), OptOut(), TransferCall()),
    )


def account_of(settings: Settings) -> CarrierAccount | None:
    """The deployment's account at the carrier; None: it has no credentials of one."""
    if settings.twilio_account_sid is None or settings.twilio_auth_token is None:
        return None
    token = settings.twilio_auth_token.get_secret_value()
    return CarrierAccount(settings.twilio_account_sid, token, settings.twilio_api_url)


def hold_audio_of(settings: Settings) -> str:
    """What callers hear while they wait. Raises SettingsError for a file that cannot be played."""
    if settings.hold_audio is None:
        return melody()
    try:
        return read_recording(settings.hold_audio)
    except AudioError as error:
        raise SettingsError(f"PHONEBOT_HOLD_AUDIO: {error}") from None


def bounds_of(settings: Settings) -> Bounds:
    """How many calls a process takes."""
    return Bounds(
        settings.max_calls,
        settings.max_calls_per_number,
        settings.max_calls_per_caller,
        settings.max_new_calls_per_caller,
    )


def clips_of(settings: Settings) -> Clips:
    """What callers hear where the model cannot speak. Raises SettingsError for a folder that cannot be used."""
    try:
        return Clips(settings.clips)
    except AudioError as error:
        raise SettingsError(f"PHONEBOT_CLIPS: {error}") from None


def traits_for(settings: Settings) -> CarrierTraits:
    """How the carrier of this deployment behaves."""
    return CarrierTraits(
        settings.carrier_start_buffer_ms, settings.carrier_mark_lag_ms, settings.carrier_mark_spread_ms
    )


def endpoint_for(settings: Settings, profile: Profile) -> Endpoint:
    """Where the model of a profile is found. Raises SettingsError when no model is set."""
    return endpoint_of(settings, profile.model or settings.model)


def text_endpoint(settings: Settings, model: str | None = None) -> Endpoint:
    """Where a model that writes is found: this one, else the deployment's for texts. Raises SettingsError."""
    return endpoint_of(settings, model or text_model(settings))


def text_model(settings: Settings) -> str:
    """The deployment's model for what needs no speech."""
    elsewhere = settings.model_url or settings.azure_openai_endpoint
    return settings.text_model or (settings.model if elsewhere else CHEAP_MODEL)


def endpoint_of(settings: Settings, model: str) -> Endpoint:
    """Where a model is found, by its name. Raises SettingsError when no model is set."""
    if settings.model_url:
        return providers.gateway(
            settings.model_url,
            model,
            token=_revealed(settings.model_token),
            auth=settings.model_auth,
            dialect=settings.model_dialect,
        )
    if settings.azure_openai_endpoint:
        return providers.azure(
            settings.azure_openai_endpoint,
            model,
            key=_revealed(settings.azure_openai_api_key) or None,
            token=_revealed(settings.azure_openai_ad_token) or None,
        )
    return providers.openai(model, _revealed(settings.openai_api_key))


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""

"""
What the settings make of a deployment: its models, its account at the carrier, the functions that it has.

Nothing here connects to anything.
"""

from dataclasses import replace
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from phonebot.agents.numbers import read_providers
from phonebot.agents.providers import OWN
from phonebot.agents.providers import Provider as WrittenProvider
from phonebot.audio.canned import Clips
from phonebot.audio.melody import melody
from phonebot.audio.recordings import read_recording
from phonebot.call.plan import CarrierTraits
from phonebot.carrier.account import CarrierAccount
from phonebot.errors import AudioError, SettingsError
from phonebot.messages.taking import TakeMessage
from phonebot.outbound.opting_out import OptOut
from phonebot.realtime import providers
from phonebot.realtime.failover import Provider
from phonebot.realtime.prices import LISTED, PricesError, PriceTable, read_prices
from phonebot.realtime.providers import Endpoint
from phonebot.settings import Settings
from phonebot.tools.builtin import EndCall, PressKeys, SetLanguage
from phonebot.tools.registry import load_function, load_guardrails, load_tools
from phonebot.tools.workshop import Workshop
from phonebot.transfers.function import TransferCall
from phonebot.web.crowds import Bounds

CHEAP_MODEL = "gpt-realtime-2.1-mini"  # of OpenAI's list prices the lowest for text (realtime/prices.toml)


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


def secrets_of(settings: Settings) -> list[str]:
    """What must never be read in a log."""
    values = [value.get_secret_value() for _, value in settings if isinstance(value, SecretStr)]
    # Addresses may hold one: the password of the database, a gateway's token in its query.
    for url in (settings.database, settings.model_url or ""):
        parts = urlsplit(url)
        values += [unquote(parts.password or ""), parts.password or "", *dict(parse_qsl(parts.query)).values()]
    return [*values, *settings.secrets.values()]


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


def prices_of(settings: Settings) -> PriceTable:
    """At which calls are reckoned. Raises SettingsError for a file of prices that cannot be used."""
    if settings.prices is None:
        return LISTED
    try:
        own = read_prices(settings.prices.read_text("utf-8"), str(settings.prices))
    except (OSError, ValueError) as error:
        raise SettingsError(f"PHONEBOT_PRICES: {settings.prices} cannot be read: {error}") from None
    except PricesError as error:
        raise SettingsError(f"PHONEBOT_PRICES: {error}") from None
    return LISTED.with_own(own)


def traits_for(settings: Settings) -> CarrierTraits:
    """How the carrier of this deployment behaves."""
    return CarrierTraits(
        settings.carrier_start_buffer_ms, settings.carrier_mark_lag_ms, settings.carrier_mark_spread_ms
    )


def providers_of(settings: Settings) -> tuple[Provider, ...]:
    """
    Where models are found, in the order in which they are asked: as PHONEBOT_MODEL_PROVIDERS says, else the one of
    the settings, which may be none: its `endpoint_for` raises SettingsError then.

    Raises SettingsError for a list that cannot be used, with a sentence for each problem, ProfileError for the file
    of profiles.
    """
    if not settings.providers:
        return (_own(settings, _own_name(settings)),)
    tables = read_providers(settings.profiles) if settings.profiles else {}
    found, problems = list[Provider](), list[str]()
    for name in settings.providers:
        if name not in tables and name not in OWN:
            problems.append(
                f"PHONEBOT_MODEL_PROVIDERS names {name}: write a table [provider.{name}] into the file that "
                "PHONEBOT_PROFILES names"
            )
            continue
        provider = _written(settings, name, tables[name]) if name in tables else _own(settings, name)
        try:
            provider.endpoint_for(settings.model)
        except SettingsError as error:
            problems.extend(f"model provider {name}: {problem}" for problem in error.problems)
        found.append(provider)
    if problems:
        raise SettingsError(*problems)
    return tuple(found)


def text_endpoint(settings: Settings, provider: Provider, model: str | None = None) -> Endpoint:
    """Where a model that writes is found: this one, else the deployment's for texts. Raises SettingsError."""
    return provider.endpoint_for(model or text_model(settings, provider))


def text_model(settings: Settings, provider: Provider) -> str:
    """The deployment's model for what needs no speech."""
    if settings.text_model:
        return settings.text_model
    at_openai = provider.endpoint_for(settings.model).url.startswith(providers.OPENAI_URL)
    return CHEAP_MODEL if at_openai else settings.model


def _written(settings: Settings, name: str, table: WrittenProvider) -> Provider:
    """One that has a table of its own."""

    def endpoint_for(model: str) -> Endpoint:
        return replace(_endpoint(settings, table, table.model_for(model)), name=name)

    return Provider(name, endpoint_for, table.models, table.voices, table.model_for)


def _endpoint(settings: Settings, table: WrittenProvider, model: str) -> Endpoint:
    if table.key is not None and table.key not in settings.secrets:
        raise SettingsError(f"its key is {table.key}: set PHONEBOT_SECRET_{table.key}")
    key = settings.secrets[table.key] if table.key else None
    match table.kind:
        case "openai":
            return providers.openai(model, key or _revealed(settings.openai_api_key))
        case "azure":
            return _azure(settings, model, table.url, key, "beta" if table.dialect == "beta" else "ga")
        case "gateway":
            assert table.url, "a table of this kind has one"
            auth, dialect = table.auth or "bearer", table.dialect or "auto"
            return providers.gateway(table.url, model, token=key or "", auth=auth, dialect=dialect)


def _azure(
    settings: Settings, model: str, url: str | None, key: str | None, dialect: Literal["ga", "beta"] = "ga"
) -> Endpoint:
    """A resource; what is None is the settings'."""
    url = url or settings.azure_openai_endpoint
    if url is None:
        raise SettingsError("it has no url: write one, or set AZURE_OPENAI_ENDPOINT")
    if key:
        return providers.azure(url, model, key=key, dialect=dialect)
    return providers.azure(
        url,
        model,
        key=_revealed(settings.azure_openai_api_key) or None,
        token=_revealed(settings.azure_openai_ad_token) or None,
        dialect=dialect,
    )


def _own_name(settings: Settings) -> str:
    if settings.model_url:
        return "gateway"
    return "azure" if settings.azure_openai_endpoint else "openai"


def _own(settings: Settings, name: str) -> Provider:
    """The one of the settings that has this name of OWN."""

    def endpoint_for(model: str) -> Endpoint:
        match name:
            case "gateway":
                if settings.model_url is None:
                    raise SettingsError("PHONEBOT_MODEL_URL is not set: set it, or name another provider")
                return providers.gateway(
                    settings.model_url,
                    model,
                    token=_revealed(settings.model_token),
                    auth=settings.model_auth,
                    dialect=settings.model_dialect,
                )
            case "azure":
                return _azure(settings, model, None, None)
        return providers.openai(model, _revealed(settings.openai_api_key))

    return Provider(name, endpoint_for)


def _revealed(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret else ""

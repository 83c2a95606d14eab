"""A session with each model that calls may be answered by, as those calls would open it; and what they cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from phonebot.agents.numbers import DEFAULT
from phonebot.agents.profile import Profile
from phonebot.call.planning import plan_for
from phonebot.checkup.check import Check, Probe, known, skipped
from phonebot.checkup.models import model_session, of_prices
from phonebot.deployment import text_endpoint, text_model, traits_for
from phonebot.errors import SettingsError
from phonebot.realtime.events import Session
from phonebot.realtime.failover import Provider
from phonebot.realtime.prices import PriceTable
from phonebot.realtime.providers import Endpoint
from phonebot.settings import Settings

TEXTS = "Text model"
MOST_SESSIONS = 6  # of a provider

_TEXT = Session(modality="text", turn_detection=None)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between sessions of one provider that it may refuse, by the names that it has there."""

    model: str
    voice: str | None
    transcription: str | None


def session_probes(
    settings: Settings, profiles: Mapping[str, Profile], providers: tuple[Provider, ...]
) -> list[Probe]:
    """One for each provider and each kind of session that profiles want of it; `MOST_SESSIONS` of a provider."""
    probes, left_out = list[Probe](), 0
    for provider in providers:
        wanted = dict[_Kind, tuple[str, Profile]]()
        for number, profile in {DEFAULT: Profile(), **profiles}.items():
            wanted.setdefault(_kind(settings, provider, profile), (number, profile))
        for kind, (number, profile) in list(wanted.items())[:MOST_SESSIONS]:
            what = f"{kind.model} of {number}" if len(wanted) > 1 else kind.model
            probes.append(_session(settings, provider, number, profile, what))
        left_out = max(left_out, len(wanted) - MOST_SESSIONS)
    if left_out:
        more = skipped("More models", f"not tried: {left_out} more kinds of sessions of a provider")
        probes.append(known(more))
    return probes


def text_probes(
    settings: Settings, profiles: Mapping[str, Profile], providers: tuple[Provider, ...]
) -> list[Probe]:
    """One for each provider and each model of it that writes after calls, or looks at what is said."""
    models = _text_models(profiles)
    if not models:
        return [known(skipped(TEXTS, "not used: no profile wants anything written"))]
    probes = list[Probe]()
    for provider in providers:
        named = {_text_name(settings, provider, model): model for model in sorted(models, key=str)}
        probes += [
            _text(settings, provider, model, provider.name if name is None else provider.model_for(name))
            for name, model in named.items()
        ]
    return probes


def prices(
    settings: Settings, profiles: Mapping[str, Profile], providers: tuple[Provider, ...], table: PriceTable
) -> Check:
    """Whether what calls cost can be reckoned."""
    all_profiles = [Profile(), *profiles.values()] if DEFAULT not in profiles else list(profiles.values())
    models = {profile.model or settings.model for profile in all_profiles}
    for model in _text_models(profiles):
        models |= {name for each in providers if (name := _text_name(settings, each, model))}
    capped = settings.max_cost_per_day_usd is not None or any(
        profile.max_cost_usd or profile.max_cost_per_day_usd for profile in all_profiles
    )
    return of_prices(table, sorted(models), capped)


def _kind(settings: Settings, provider: Provider, profile: Profile) -> _Kind:
    transcription = profile.transcription.model if profile.transcription else None
    return _Kind(
        provider.model_for(profile.model or settings.model),
        provider.voices.get(profile.voice or "", profile.voice),
        provider.models.get(transcription or "", transcription),
    )


def _session(settings: Settings, provider: Provider, number: str, profile: Profile, what: str) -> Probe:
    def session() -> Session:
        now, traits = datetime.now().astimezone(), traits_for(settings)
        plan = plan_for(profile, caller="", number=number, now=now, carrier=traits, model=settings.model)
        return provider.session(plan.session)

    def endpoint() -> Endpoint:
        return provider.endpoint_for(profile.model or settings.model)

    return _led_by(model_session(endpoint, session, f"Model {provider.name}"), what)


def _text(settings: Settings, provider: Provider, model: str | None, what: str) -> Probe:
    probe = model_session(lambda: text_endpoint(settings, provider, model), lambda: _TEXT, TEXTS)
    return _led_by(probe, what)


def _text_name(settings: Settings, provider: Provider, model: str | None) -> str | None:
    """What profiles and the settings call it; None: they name none, of which the session's check tells."""
    try:
        return model or text_model(settings, provider)
    except SettingsError:
        return None


def _text_models(profiles: Mapping[str, Profile]) -> set[str | None]:
    """What profiles name for texts; None: the deployment's."""
    found = set[str | None]()
    for profile in profiles.values():
        found |= {wish.model for wish in (profile.summary, profile.extract) if wish}
        if any(entry.ask for entries in profile.guardrail_lists().values() for entry in entries):
            found.add(None)
    return found


def _led_by(probe: Probe, what: str) -> Probe:
    """The same, and its sentence says of what it is."""

    async def look() -> Check:
        check = await probe.look()
        assert isinstance(check, Check), "a session is one check"
        return replace(check, sentence=f"{what}: {check.sentence}")

    return replace(probe, look=look)

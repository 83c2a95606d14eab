"""
Parts of the app that are made of several others, and of the settings: what becomes of calls that have ended, how
calls leave the bot, what they may cost, and what can be checked.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from phonebot.after.delivery import Courier, Links
from phonebot.after.texts import Scribe
from phonebot.after.wishes import WishBook
from phonebot.after.work import AfterWork
from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.call.planning import plan_for
from phonebot.callbook import CallBook
from phonebot.caps.bell import Bell
from phonebot.caps.watch import DayCaps
from phonebot.checkup import address, keeping, models
from phonebot.checkup.account import twilio
from phonebot.checkup.check import together
from phonebot.deployment import text_endpoint, text_model, traits_for
from phonebot.errors import SettingsError, StoreError
from phonebot.filing.expiry import Expiry
from phonebot.filing.filer import Filer
from phonebot.messages.inbox import Inbox
from phonebot.messages.taking import TakeMessage
from phonebot.realtime.events import Session
from phonebot.realtime.failover import Failover, Provider
from phonebot.realtime.prices import PriceTable
from phonebot.realtime.providers import Endpoint
from phonebot.settings import Settings
from phonebot.store.links import RecordingLinks
from phonebot.store.store import Store
from phonebot.tools.addresses import Hosts
from phonebot.tools.client import HttpClient
from phonebot.tools.workshop import Workshop
from phonebot.traces.setting_up import Traces
from phonebot.transfers.after import Transfers, nothing_left
from phonebot.transfers.continuations import Continuations
from phonebot.transfers.function import TransferCall
from phonebot.transfers.legs import Legs
from phonebot.web.admission import Gate
from phonebot.web.board import Board, process_name
from phonebot.web.checkups import Checkup
from phonebot.web.feed import Feed
from phonebot.web.left_behind import LeftBehind
from phonebot.web.metrics import Metrics
from phonebot.web.recordings import PATH as RECORDINGS
from phonebot.web.roster import Roster


@dataclass(frozen=True, slots=True)
class Archive:
    """What becomes of calls that have ended, and of messages: filed, told of, deleted when their time is over."""

    book: CallBook
    links: RecordingLinks
    afterwards: AfterWork
    inbox: Inbox
    filer: Filer
    expiry: Expiry

    @classmethod
    def of(
        cls,
        settings: Settings,
        store: Store,
        workshop: Workshop,
        failover: Failover,
        prices: PriceTable,
        metrics: Metrics,
        traces: Traces | None,
        *,
        public_url: str,
        secret_key: str,
    ) -> Self:
        """The functions of `workshop` take messages from now on."""
        folder = settings.data_dir / "calls"
        book, links = CallBook(store.calls, store.recordings, folder), RecordingLinks(secret_key)
        told = Links(
            lambda call_sid: f"{public_url}/console/calls/{call_sid}",
            lambda call_sid, days: f"{public_url}/{RECORDINGS}/{links.make(call_sid, days)}",
            lambda message_id: f"{public_url}/console/messages/{message_id}",
        )
        afterwards = AfterWork(
            store.after,
            store.calls,
            store.messages,
            WishBook(store.numbers),
            Scribe(_writers(settings, failover), prices),
            Courier(workshop.client, settings.secrets, told),
            who=process_name(),
            counted=lambda result: metrics.deliveries.labels(result).inc(),
        )
        metrics.after_waiting.set_function(lambda: afterwards.waiting)
        inbox = Inbox(store.messages, settings.data_dir / "messages", afterwards.wake)
        workshop.bring(TakeMessage(inbox.take))
        filed = partial(traces.add, "file") if traces else None
        filer = Filer(store.calls, store.recordings, folder, afterwards=afterwards, filed=filed)
        besides = {
            "orders for calls": store.outbound.delete_expired,
            "messages of calls that were never filed": store.messages.delete_expired,
        }
        return cls(book, links, afterwards, inbox, filer, Expiry(store.calls, book, besides))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """All of it is done while the block runs; at its end, what is left is filed."""
        async with AsyncExitStack() as stack:
            for part in (self.afterwards, self.inbox, self.filer):
                await stack.enter_async_context(part)
            await stack.enter_async_context(self.expiry.running())
            yield


def _writers(settings: Settings, failover: Failover) -> Callable[[str | None], list[tuple[str, Endpoint]]]:
    """Which models write, in the order in which they are asked: the one of this name, or the deployment's."""

    def models(name: str | None) -> list[tuple[str, Endpoint]]:
        return [
            (name or text_model(settings, provider), text_endpoint(settings, provider, name))
            for provider in failover.order
        ]

    return models


def transfers_of(
    store: Store | None,
    gate: Gate,
    workshop: Workshop,
    legs: Legs,
    board: Board,
    feed: Feed,
    roster: Roster,
    clips: Clips,
    metrics: Metrics,
) -> Transfers:
    """How calls of this process leave the bot, and come back; its functions may transfer them from now on."""
    continuations = Continuations(store.continuations if store else None)
    left = LeftBehind(store.live, store.calls, roster, gate.shut).of if store else nothing_left
    transfers = Transfers(continuations, legs, board.tell, left, clips, metrics.came_back)
    board.hear(transfers.colleagues.passed_on)
    if TransferCall.name in workshop.known.functions:
        workshop.bring(TransferCall(legs, continuations, feed))
    return transfers


def caps_of(settings: Settings, store: Store | None, metrics: Metrics, process: str) -> tuple[DayCaps, Bell]:
    """What calls may cost in a day, and who is told. Raises SettingsError for a secret that there is not."""
    sign_with = settings.alarm_sign_with
    if sign_with is not None and sign_with not in settings.secrets:
        raise SettingsError(f"PHONEBOT_ALARM_SIGN_WITH is {sign_with}: set PHONEBOT_SECRET_{sign_with}, too")
    spending = store.spending if store else None
    host = urlsplit(settings.alarm_url or "").hostname
    bell = Bell(
        settings.alarm_url,
        settings.secrets[sign_with] if sign_with else None,
        HttpClient(Hosts((host,) if host else ())),
        spending,
        counted=lambda alarm: metrics.alarms.labels(alarm.level).inc(),
    )
    caps = DayCaps(settings.max_cost_per_day_usd, process, spending, bell.ring)
    metrics.spent_today.set_function(lambda: caps.spent_usd)
    return caps, bell


def checkup_of(settings: Settings, store: Store, public_url: str, providers: Sequence[Provider]) -> Checkup:
    """What can be checked of this deployment."""
    named = len(providers) > 1

    def endpoint(provider: Provider) -> Callable[[], Endpoint]:
        return lambda: provider.endpoint_for(settings.model)

    def session() -> Session:
        now = datetime.now().astimezone()
        return plan_for(Profile(), caller="", number="", now=now, carrier=traits_for(settings)).session

    async def ours() -> list[str]:
        try:
            return [entry.number for entry in await store.numbers.entries()]
        except StoreError:  # the check of the database tells of it
            return []

    token, secret_key = (_revealed(secret) for secret in (settings.twilio_auth_token, settings.secret_key))
    return Checkup(
        (
            keeping.database(store.database),
            keeping.storage(store.recordings),
            keeping.data_folder(settings.data_dir, str(settings.data_dir)),
            keeping.disk(settings.data_dir),
            *(models.model(endpoint(each), f"Model {each.name}" if named else "Model") for each in providers),
            twilio(settings.twilio_account_sid, token, settings.twilio_api_url, public_url, ours),
            address.public_url(address.Address(public_url, secret_key, token)),
        ),
        together(
            "Model session",
            [
                models.model_session(endpoint(each), session, each.name if named else "Model session")
                for each in providers
            ],
        ),
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None

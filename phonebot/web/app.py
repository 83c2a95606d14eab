"""
Builds the Starlette app: the only place where all parts meet.

    voice webhook -> Gate.issue -> TwiML -> media stream -> Gate.admit -> Bridge(Call) <-> model
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from phonebot.after.delivery import Courier, Links
from phonebot.after.texts import Scribe
from phonebot.after.wishes import WishBook
from phonebot.after.work import AfterWork
from phonebot.agents.profile import Profile
from phonebot.audio.canned import Clips
from phonebot.call.plan import Recovery
from phonebot.call.planning import plan_for
from phonebot.callbook import CallBook
from phonebot.caps.bell import Bell
from phonebot.caps.today import Today, today_of
from phonebot.caps.watch import DayCaps
from phonebot.carrier.messages import MAX_MESSAGE_BYTES
from phonebot.checkup import address, keeping, models
from phonebot.checkup.account import twilio
from phonebot.checkup.check import together
from phonebot.deployment import (
    account_of,
    bounds_of,
    clips_of,
    hold_audio_of,
    local_url,
    prices_of,
    providers_of,
    text_endpoint,
    text_model,
    traits_for,
    workshop_for,
)
from phonebot.errors import SettingsError, StoreError
from phonebot.filing.expiry import Expiry
from phonebot.filing.filer import Filer
from phonebot.guardrails.guardroom import Guardroom
from phonebot.hooks.hook import Hook
from phonebot.hooks.registry import load_hooks
from phonebot.messages.inbox import Inbox
from phonebot.messages.taking import TakeMessage
from phonebot.outbound.orders import Orders
from phonebot.realtime.events import Session
from phonebot.realtime.failover import Failover, Provider
from phonebot.realtime.prices import PriceTable
from phonebot.realtime.providers import Endpoint
from phonebot.realtime.text import TextSession
from phonebot.replay.recorder import Writer
from phonebot.settings import LOOPBACK_HOSTS, Settings
from phonebot.store.history import HistoryStore
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
from phonebot.transfers.urls import TransferUrls
from phonebot.web.admission import Gate
from phonebot.web.board import Board, process_name
from phonebot.web.callbacks import Statuses
from phonebot.web.calling_out import CallingOut
from phonebot.web.checkups import Checkup
from phonebot.web.console.access import Authorise
from phonebot.web.console.console import Console
from phonebot.web.console.phone import ConsolePhone
from phonebot.web.console.trials import Trials
from phonebot.web.crowds import CrowdedNumbers, Crowds
from phonebot.web.deciding import Decisions
from phonebot.web.desk import CallDesk, Watch
from phonebot.web.draining import Draining
from phonebot.web.editing import ProfileEditor, lacking
from phonebot.web.feed import Feed
from phonebot.web.greetings import Greetings
from phonebot.web.hangups import HangUps
from phonebot.web.headers import SecurityHeaders, unforeseen
from phonebot.web.health import liveness
from phonebot.web.held import HeldCalls
from phonebot.web.histories import Histories
from phonebot.web.left_behind import LeftBehind
from phonebot.web.live import LiveCalls
from phonebot.web.lookups import Lookups
from phonebot.web.media import MediaEndpoint
from phonebot.web.metrics import Admit, Metrics
from phonebot.web.model_figures import ModelFigures
from phonebot.web.patience import PatientProtocol
from phonebot.web.process_figures import ProcessFigures
from phonebot.web.profiles import Answering
from phonebot.web.recordings import PATH as RECORDINGS
from phonebot.web.recordings import RecordingDoor
from phonebot.web.roster import Roster
from phonebot.web.streams import Stream
from phonebot.web.traced import traced
from phonebot.web.webhooks import Door, Webhooks

# One place for how the app is served: the benchmark's yardstick is served alike.
SERVER_OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": PatientProtocol,  # h11: it bounds the head of a request, which httptools does not
    "ws": Stream,
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_per_message_deflate": False,
    "ws_ping_interval": None,  # media is the heartbeat, and a carrier need not answer pings
    "proxy_headers": False,  # a client is who connects: nothing here believes what headers say of him
    "access_log": False,
    "reset_contextvars": True,  # a connection that proxies share must not keep which call a request was about
    "server_header": False,
    "lifespan": "on",
    "timeout_graceful_shutdown": 10,  # for those who do not take the end of what they asked for
}


def create_app(
    settings: Settings,
    numbers: Answering,
    watch: tuple[Watch, ...] = (),
    writer: Writer | None = None,
    authorise: Authorise | None = None,
    store: Store | None = None,
    workshop: Workshop | None = None,
    hooks: tuple[Hook, ...] | None = None,
    traces: Traces | None = None,
) -> Starlette:
    """
    The service for these settings and profiles. Without an auth token every request passes as the carrier's.
    `writer` None: the logs go where the settings say.

    Its calls in progress are `state.live`, a LiveCalls: set `draining` there and it takes no new ones. What happens
    in them is told by `state.feed`, a Feed, and in those of all processes by `state.board`, a Board; answers that
    follow them end when `state.stopping` is set. With `store`, which stays the caller's to close, there are the
    console, for those who log in, and the API; past calls are in `state.book`, a CallBook (None without one).
    `authorise` says who may use the phone in the browser of a service without a store; without both there is none.
    `workshop` and `hooks` None: those of the settings; raises SettingsError where these name what there is not.
    `traces`, which stay the caller's to close, are told of each call; None: nobody is.
    """
    public_url = settings.public_url or local_url(settings.host, settings.port)
    token = settings.twilio_auth_token
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else secrets.token_urlsafe(32)
    door = Door(public_url, (token.get_secret_value(),) if token else (), settings.twilio_account_sid)
    gate = Gate(secret_key, store=store.admissions if store else None)
    live, feed, held = LiveCalls(), Feed(process_name()), HeldCalls()
    roster = Roster(settings.data_dir / "processes", feed.process)
    board = Board(feed, held, store.live if store else None, lambda: not live.draining, roster.has_ended)
    metrics = Metrics(live)
    figures = ModelFigures(metrics.registry)
    failover = Failover(providers_of(settings), figures)
    figures.watch(failover)
    folder = settings.data_dir / "calls"
    book = CallBook(store.calls, store.recordings, folder) if store else None
    workshop = workshop or workshop_for(settings)
    recording_links, prices = RecordingLinks(secret_key), prices_of(settings)
    afterwards = (
        afterwards_of(settings, store, workshop, recording_links, public_url, metrics, failover, prices)
        if store
        else None
    )
    inbox = Inbox(store.messages, settings.data_dir / "messages", afterwards.wake) if store and afterwards else None
    if inbox:
        workshop.bring(TakeMessage(inbox.take))
    filed = partial(traces.add, "file") if traces else None
    filer = Filer(store.calls, store.recordings, folder, afterwards=afterwards, filed=filed) if store else None
    expiry = Expiry(store.calls, book, store.outbound) if store and book else None
    writer = writer or (Writer(folder, finished=filer.finished) if filer else Writer(folder))
    metrics.incomplete_logs.set_function(lambda: writer.incomplete)
    ProcessFigures(
        metrics.registry,
        calls_limit=settings.max_calls,
        is_draining=lambda: live.draining,
        is_cut_off=lambda: board.is_cut_off,
        unfiled=lambda: filer.waiting if filer else 0,
    )
    hooks = load_hooks(settings.hooks) if hooks is None else hooks
    lookups = Lookups(workshop, lambda result: metrics.lookups.labels(result).inc())
    caps, bell = caps_of(settings, store, metrics, feed.process)
    account, statuses = account_of(settings), Statuses()
    greetings = Greetings(store.greetings if store else None)
    hang_ups = HangUps(statuses, account, lambda known: metrics.hang_ups.labels(known).inc())
    legs = Legs(account, TransferUrls(public_url, secret_key))
    clips = clips_of(settings)
    transfers = transfers_of(store, workshop, legs, board, feed, roster, clips, metrics)
    calling = (
        CallingOut.of(
            store,
            account,
            numbers,
            live,
            board,
            metrics,
            public_url=public_url,
            data_dir=settings.data_dir,
            process=feed.process,
            caps=caps,
        )
        if store
        else None
    )
    if calling:
        workshop.bring(calling.opt_out)
        board.hear(calling.outgoing.told)
    outgoing = calling.outgoing if calling else None
    decisions = Decisions(
        lookups=lookups,
        histories=Histories(HistoryStore(store.database) if store else None),
        greetings=greetings,
        outgoing=outgoing,
        model=settings.model,
        traits=traits_for(settings),
        recovery=Recovery(budget_ms=settings.model_patience_s * 1000),
        hold_audio=hold_audio_of(settings),
        clips=clips,
        prices=prices,
    )
    calls = CallDesk(
        numbers=numbers,
        decisions=decisions,
        live=live,
        metrics=metrics,
        feed=feed,
        held=held,
        writer=writer,
        watch=watch,
        workshop=workshop,
        guardroom=Guardroom(workshop),
        greetings=greetings,
        hooks=hooks,
        hang_ups=hang_ups,
        transfers=transfers,
        caps=caps,
        outgoing=outgoing,
        failover=failover,
        model=settings.model,
        writing=lambda: TextSession(text_endpoint(settings, failover.first)),
        remember=afterwards.book.remember if afterwards else None,
        traces=traces,
    )
    told_of_status = (gate.told, statuses.told, transfers.caller_told)
    crowds = Crowds(bounds_of(settings))
    webhooks = Webhooks(
        door,
        numbers,
        gate,
        live,
        transfers,
        lookups,
        told_of_status,
        outgoing,
        caps,
        CrowdedNumbers(crowds, clips, metrics.turn_away),
        metrics.forged.inc,
        metrics.turn_away,
        board,
    )
    media = MediaEndpoint(door, gate, live, calls.hold, crowds, metrics.forged.inc, metrics.floods.inc)

    urls = own_urls(public_url, settings.host, settings.port)
    phone = ConsolePhone(
        Trials(secret_key),
        calls.answer,
        live,
        feed,
        numbers.profile_for,
        lambda profile: lacking(profile, workshop.known),
        urls,
    )

    stopping = asyncio.Event()
    console: Console | None = None
    api: list[BaseRoute] = []
    if store and book and calling:
        editor = ProfileEditor(store.numbers, settings.audio, workshop.known)
        found = checkup_of(settings, store, public_url, failover.providers)
        today = partial(today_of, caps, numbers.profile_for)
        console = Console(store, book, editor, found, secret_key, urls, board, calling.orders, stopping, today)
        api = [_api(store, book, editor, found, board, calling.orders, stopping, today, secret_key, public_url)]

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("draining", 503) if live.draining else PlainTextResponse("ready")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            running.enter_context(roster.enrolled())
            await running.enter_async_context(workshop)
            if account:
                await running.enter_async_context(account)
            await running.enter_async_context(hang_ups)
            await running.enter_async_context(legs)
            if afterwards and inbox and filer and expiry:
                await running.enter_async_context(afterwards)
                await running.enter_async_context(inbox)
                await running.enter_async_context(filer)
                await running.enter_async_context(expiry.running())
            await running.enter_async_context(bell)
            await running.enter_async_context(caps.running())
            await running.enter_async_context(calls.writer)
            await running.enter_async_context(lookups)
            await running.enter_async_context(greetings.running())
            await running.enter_async_context(board.running())
            if calling:
                await running.enter_async_context(calling.running())
            yield
            # The calls close their logs; only then may the writer be closed, and then what is left be filed.
            live.draining = True
            await live.finish()

    app = Starlette(
        routes=[
            Route("/twilio/voice", traced(webhooks.voice, traces), methods=["POST"]),
            Route("/twilio/after", traced(webhooks.after, traces), methods=["POST"]),
            Route("/twilio/closed", webhooks.closed, methods=["POST"]),
            Route("/twilio/status", webhooks.status, methods=["POST"]),
            Route("/twilio/amd", webhooks.answered_by, methods=["POST"]),
            Route("/twilio/whisper", webhooks.whisper, methods=["POST"]),
            Route("/twilio/whisper/key", webhooks.whisper_key, methods=["POST"]),
            WebSocketRoute("/twilio/media", media),
            Route("/healthz", liveness(secret_key)),
            Route("/readyz", readyz),
            metrics.route(_reading(store) if store else None),
            *_pages(phone, console, authorise),
            *(RecordingDoor(book, recording_links).routes() if book else []),
            *api,
        ],
        middleware=[Middleware(SecurityHeaders, secure=public_url.startswith("https://"))],
        exception_handlers={Exception: unforeseen, **({StoreError: console.frame.store_away} if console else {})},
        lifespan=lifespan,
    )
    app.state.live, app.state.feed, app.state.board, app.state.book = live, feed, board, book
    app.state.held, app.state.stopping, app.state.draining = held, stopping, Draining(live, held, board)
    return app


def _pages(phone: ConsolePhone, console: Console | None, authorise: Authorise | None) -> list[BaseRoute]:
    """What people see in a browser."""
    if console:
        guard = console.guard
        return [*console.routes(), *phone.routes(guard.authorise, console.phone_page, guard.authorise_try)]
    return phone.routes(authorise) if authorise else []


def _api(
    store: Store,
    book: CallBook,
    editor: ProfileEditor,
    found: Checkup,
    board: Board,
    orders: Orders,
    stopping: asyncio.Event,
    today: Callable[[], Today],
    secret_key: str,
    public_url: str,
) -> BaseRoute:
    # Imported here: FastAPI takes 0.2 s, which the demo and the benchmark do without.
    from phonebot.web.api.api import PATH, create_api

    api = create_api(
        store, book, editor, found, board, orders, stopping, today, secret_key=secret_key, public_url=public_url
    )
    mount = Mount(PATH, api)
    # All below it is the API's to answer: Starlette's own pattern ends at a line break.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


def _reading(store: Store) -> Admit:
    """Lets those in who bring a token with the scope `read`."""
    from phonebot.web.api.bearer import Bearers  # here, for the same reason

    bearers = Bearers(store.tokens)

    async def admit(request: Request) -> None:
        await bearers.admit(request, "read")

    return admit


def own_urls(public_url: str, host: str, port: int) -> tuple[str, ...]:
    """By which URLs a browser may have come to us: the public one, and those of this machine if we listen there."""
    names = ("127.0.0.1", "localhost")
    urls = [public_url, *([local_url(host, port)] if host in LOOPBACK_HOSTS else [])]
    for url in tuple(urls):
        named = urlsplit(url).hostname
        if named in names:
            urls += [url.replace(named, name, 1) for name in names]
    return tuple(dict.fromkeys(urls))


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


def afterwards_of(
    settings: Settings,
    store: Store,
    workshop: Workshop,
    recordings: RecordingLinks,
    public_url: str,
    metrics: Metrics,
    failover: Failover,
    prices: PriceTable,
) -> AfterWork:
    """What is done after the calls of this deployment."""

    def models(name: str | None) -> list[tuple[str, Endpoint]]:
        return [
            (name or text_model(settings, provider), text_endpoint(settings, provider, name))
            for provider in failover.order
        ]

    links = Links(
        lambda call_sid: f"{public_url}/console/calls/{call_sid}",
        lambda call_sid, days: f"{public_url}/{RECORDINGS}/{recordings.make(call_sid, days)}",
        lambda message_id: f"{public_url}/console/messages/{message_id}",
    )
    work = AfterWork(
        store.after,
        store.calls,
        store.messages,
        WishBook(store.numbers),
        Scribe(models, prices),
        Courier(workshop.client, settings.secrets, links),
        who=process_name(),
        counted=lambda result: metrics.deliveries.labels(result).inc(),
    )
    metrics.after_waiting.set_function(lambda: work.waiting)
    return work


def transfers_of(
    store: Store | None,
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
    left = LeftBehind(store.live, store.calls, roster).of if store else nothing_left
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

"""
Builds the Starlette app: the only place where all parts meet.

    voice webhook -> Gate.issue -> TwiML -> media stream -> Gate.admit -> Bridge(Call) <-> model
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from phonebot.call.plan import Recovery
from phonebot.caps.today import today_of
from phonebot.carrier.messages import MAX_MESSAGE_BYTES
from phonebot.deployment import (
    account_of,
    bounds_of,
    clips_of,
    hold_audio_of,
    local_url,
    prices_of,
    providers_of,
    text_endpoint,
    traits_for,
    workshop_for,
)
from phonebot.errors import StoreError
from phonebot.guardrails.guardroom import Guardroom
from phonebot.hooks.hook import Hook
from phonebot.hooks.registry import load_hooks
from phonebot.realtime.failover import Failover
from phonebot.realtime.text import TextSession
from phonebot.replay.recorder import Writer
from phonebot.settings import LOOPBACK_HOSTS, Settings
from phonebot.store.history import HistoryStore
from phonebot.store.store import Store
from phonebot.tools.workshop import Workshop
from phonebot.traces.setting_up import Traces
from phonebot.transfers.legs import Legs
from phonebot.transfers.urls import TransferUrls
from phonebot.web.admission import Gate
from phonebot.web.board import Board, process_name
from phonebot.web.callbacks import Statuses
from phonebot.web.calling_out import CallingOut
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
from phonebot.web.health import liveness, readiness
from phonebot.web.held import HeldCalls
from phonebot.web.histories import Histories
from phonebot.web.live import LiveCalls
from phonebot.web.lookups import Lookups
from phonebot.web.media import MediaEndpoint
from phonebot.web.metrics import Admit, Metrics
from phonebot.web.model_figures import ModelFigures
from phonebot.web.operating import Operating
from phonebot.web.parts import Archive, caps_of, checkup_of, transfers_of
from phonebot.web.patience import PatientProtocol
from phonebot.web.process_figures import ProcessFigures
from phonebot.web.profiles import Answering
from phonebot.web.recordings import RecordingDoor
from phonebot.web.roster import Roster
from phonebot.web.streams import Stream
from phonebot.web.webhooks import Door, Webhooks

# One place for how the app is served: the benchmark's yardstick is served alike.
SERVER_OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": PatientProtocol,  # h11: it bounds the head of a request, which httptools does not
    "ws": Stream,
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_per_message_deflate": False,
    # Proxies keep idle connections for 60 s. One that we close first may be just about to bring a webhook.
    "timeout_keep_alive": 75,
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
    live, feed, held = LiveCalls(), Feed(process_name()), HeldCalls()
    roster = Roster(settings.data_dir / "processes", feed.process)
    board = Board(feed, held, store.live if store else None, lambda: not live.draining, roster.has_ended)
    metrics = Metrics(live)
    figures = ModelFigures(metrics.registry)
    failover = Failover(providers_of(settings), figures)
    figures.watch(failover)
    workshop = workshop or workshop_for(settings)
    hooks = load_hooks(settings.hooks) if hooks is None else hooks
    prices = prices_of(settings)
    archive: Archive | None = None
    if store:
        archive = Archive.of(
            settings,
            store,
            workshop,
            failover,
            prices,
            metrics,
            traces,
            public_url=public_url,
            secret_key=secret_key,
        )
    folder = settings.data_dir / "calls"
    writer = writer or (Writer(folder, finished=archive.filer.finished) if archive else Writer(folder))
    metrics.incomplete_logs.set_function(lambda: writer.incomplete)
    ProcessFigures(
        metrics.registry,
        calls_limit=settings.max_calls,
        is_draining=lambda: live.draining,
        is_cut_off=lambda: board.is_cut_off,
        unfiled=lambda: archive.filer.waiting if archive else 0,
    )
    lookups = Lookups(workshop, lambda result: metrics.lookups.labels(result).inc())
    caps, bell = caps_of(settings, store, metrics, feed.process)
    account, statuses = account_of(settings), Statuses()
    greetings = Greetings(store.greetings if store else None)
    hang_ups = HangUps(statuses, account, lambda known: metrics.hang_ups.labels(known).inc())
    legs = Legs(account, TransferUrls(public_url, secret_key))
    clips = clips_of(settings)
    gate = Gate(secret_key, store=store.admissions if store else None)
    transfers = transfers_of(store, gate, workshop, legs, board, feed, roster, clips, metrics)
    calling: CallingOut | None = None
    if store:
        calling = CallingOut.of(
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
        remember=archive.afterwards.book.remember if archive else None,
        traces=traces,
    )
    door = Door(public_url, (token.get_secret_value(),) if token else (), settings.twilio_account_sid)
    crowds = Crowds(bounds_of(settings))
    webhooks = Webhooks(
        door,
        numbers,
        gate,
        live,
        transfers=transfers,
        lookups=lookups,
        told_of_status=(gate.told, statuses.told, transfers.caller_told),
        outgoing=outgoing,
        caps=caps,
        crowded=CrowdedNumbers(crowds, clips, metrics.turn_away),
        forged=metrics.forged.inc,
        turned_away=metrics.turn_away,
        board=board,
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
    further: list[BaseRoute] = []
    if store and archive and calling:
        operating = Operating(
            store=store,
            book=archive.book,
            editor=ProfileEditor(store.numbers, settings.audio, workshop.known),
            checkup=checkup_of(settings, store, public_url, failover.providers),
            board=board,
            orders=calling.orders,
            stopping=stopping,
            today=partial(today_of, caps, numbers.profile_for),
            secret_key=secret_key,
        )
        console = Console(operating, urls)
        further = [*RecordingDoor(archive.book, archive.links).routes(), _api(operating, public_url)]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
            running.enter_context(roster.enrolled())
            await running.enter_async_context(workshop)
            if account:
                await running.enter_async_context(account)
            await running.enter_async_context(hang_ups)
            await running.enter_async_context(legs)
            if archive:
                await running.enter_async_context(archive.running())
            await running.enter_async_context(bell)
            await running.enter_async_context(caps.running())
            await running.enter_async_context(writer)
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
            *webhooks.routes(traces),
            WebSocketRoute("/twilio/media", media),
            Route("/healthz", liveness(secret_key)),
            Route("/readyz", readiness(lambda: not live.draining)),
            metrics.route(_reading(store) if store else None),
            *_pages(phone, console, authorise),
            *further,
        ],
        middleware=[Middleware(SecurityHeaders, secure=public_url.startswith("https://"))],
        exception_handlers={Exception: unforeseen, **({StoreError: console.frame.store_away} if console else {})},
        lifespan=lifespan,
    )
    app.state.live, app.state.feed, app.state.board = live, feed, board
    app.state.book = archive.book if archive else None
    app.state.held, app.state.stopping, app.state.draining = held, stopping, Draining(live, held, board)
    return app


def _pages(phone: ConsolePhone, console: Console | None, authorise: Authorise | None) -> list[BaseRoute]:
    """What people see in a browser."""
    if console:
        guard = console.guard
        return [*console.routes(), *phone.routes(guard.authorise, console.phone_page, guard.authorise_try)]
    return phone.routes(authorise) if authorise else []


def _api(operating: Operating, public_url: str) -> BaseRoute:
    # Imported here: FastAPI takes 0.2 s, which the demo and the benchmark do without.
    from phonebot.web.api.api import PATH, create_api

    mount = Mount(PATH, create_api(operating, public_url))
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

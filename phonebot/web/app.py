"""
Builds the Starlette app: the only place where all parts meet.

    voice webhook -> Gate.issue -> TwiML -> media stream -> Gate.admit -> Bridge(Call) <-> model
"""

import asyncio
import logging
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from phonebot import checkup
from phonebot.after.delivery import Courier, Links
from phonebot.after.texts import Scribe
from phonebot.after.wishes import WishBook
from phonebot.after.work import AfterWork
from phonebot.agents.answering import Answered, answer, with_history
from phonebot.agents.history import PLACEHOLDER as HISTORY
from phonebot.agents.profile import Profile
from phonebot.agents.prompt import fill
from phonebot.agents.recordings import read_recording
from phonebot.audio.melody import melody
from phonebot.bridge import Bridge, Journal
from phonebot.call.actions import Action, Ended, LineRole, Outcome
from phonebot.call.call import Call
from phonebot.call.inputs import Input, ModelReady
from phonebot.call.plan import CarrierTraits, EarlierLine, plan_for
from phonebot.callbook import CallBook
from phonebot.caps.bell import Bell
from phonebot.caps.watch import DayCaps
from phonebot.carrier.account import CarrierAccount
from phonebot.carrier.messages import MAX_MESSAGE_BYTES, Start, StreamReader
from phonebot.errors import AudioError, SettingsError, StoreError
from phonebot.filing.expiry import Expiry
from phonebot.filing.filer import Filer
from phonebot.guardrails.guardroom import Guardroom
from phonebot.hooks.hook import Hook, LiveCall
from phonebot.hooks.registry import load_hooks
from phonebot.hooks.running import HookTasks
from phonebot.messages.inbox import Inbox
from phonebot.messages.taking import TakeMessage
from phonebot.outbound.briefing import briefed
from phonebot.outbound.opting_out import OptOut
from phonebot.outbound.orders import Orders
from phonebot.realtime import providers
from phonebot.realtime.connection import EarlyLine, ModelConnection, connect
from phonebot.realtime.events import Session
from phonebot.realtime.providers import Endpoint
from phonebot.realtime.text import TextSession
from phonebot.replay.log import About
from phonebot.replay.recorder import Recorder, Writer
from phonebot.settings import LOOPBACK_HOSTS, Settings
from phonebot.store.history import HistoryStore
from phonebot.store.links import RecordingLinks
from phonebot.store.store import Store
from phonebot.tools.addresses import Hosts
from phonebot.tools.builtin import EndCall, PressKeys, SetLanguage
from phonebot.tools.client import HttpClient
from phonebot.tools.registry import load_function, load_guardrails, load_tools
from phonebot.tools.running import ToolContext
from phonebot.tools.typist import Typist
from phonebot.tools.workshop import NEEDS_GA, Equipment, Workshop
from phonebot.transfers.after import Returned, Transfers
from phonebot.transfers.continuations import Continuations
from phonebot.transfers.function import TransferCall
from phonebot.transfers.legs import Legs
from phonebot.transfers.urls import TransferUrls
from phonebot.web.admission import Admission, Arrival, Gate
from phonebot.web.board import Board, process_name
from phonebot.web.callbacks import Statuses
from phonebot.web.calling_out import CallingOut
from phonebot.web.console.access import Authorise
from phonebot.web.console.console import Console
from phonebot.web.console.health import Checkup
from phonebot.web.console.phone import ConsolePhone
from phonebot.web.console.trials import Trials
from phonebot.web.editing import ProfileEditor
from phonebot.web.feed import CallFeed, Feed
from phonebot.web.hangups import HangUps
from phonebot.web.held import HeldCall, HeldCalls
from phonebot.web.histories import Histories
from phonebot.web.live import LiveCalls
from phonebot.web.lookups import Lookups
from phonebot.web.media import MediaEndpoint, MediaSocket
from phonebot.web.metrics import CallMetrics, Metrics
from phonebot.web.outgoing import Callee, Outgoing
from phonebot.web.profiles import Answering
from phonebot.web.recordings import PATH as RECORDINGS
from phonebot.web.recordings import RecordingDoor
from phonebot.web.webhooks import Door, Webhooks

log = logging.getLogger(__name__)

Watch = Callable[[Start], Journal]
"""Makes a journal for each call, beside the call log: the demo's terminal, tests."""

# One place for how the app is served: the benchmark's yardstick is served alike.
SERVER_OPTIONS: dict[str, Any] = {
    "loop": "uvloop",
    "http": "h11",  # bounds the head of a request, which httptools does not
    "ws": "websockets-sansio",
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_per_message_deflate": False,
    "ws_ping_interval": None,  # media is the heartbeat, and a carrier need not answer pings
    "proxy_headers": False,  # a client is who connects: nothing here believes what headers say of him
    "access_log": False,
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
    """
    public_url = settings.public_url or local_url(settings.host, settings.port)
    token = settings.twilio_auth_token
    secret_key = settings.secret_key.get_secret_value() if settings.secret_key else secrets.token_urlsafe(32)
    door = Door(public_url, (token.get_secret_value(),) if token else (), settings.twilio_account_sid)
    gate, live, feed, held = Gate(secret_key), LiveCalls(), Feed(process_name()), HeldCalls()
    board = Board(feed, held, store.live if store else None)
    metrics = Metrics(live)
    folder = settings.data_dir / "calls"
    book = CallBook(store.calls, store.recordings, folder) if store else None
    workshop = workshop or workshop_for(settings)
    recording_links = RecordingLinks(secret_key)
    afterwards = afterwards_of(settings, store, workshop, recording_links, public_url, metrics) if store else None
    inbox = Inbox(store.messages, settings.data_dir / "messages", afterwards.wake) if store and afterwards else None
    if inbox:
        workshop.bring(TakeMessage(inbox.take))
    filer = Filer(store.calls, store.recordings, folder, afterwards=afterwards) if store else None
    expiry = Expiry(store.calls, book) if store and book else None
    writer = writer or (Writer(folder, finished=filer.finished) if filer else Writer(folder))
    remember = afterwards.book.remember if afterwards else None
    hooks = load_hooks(settings.hooks) if hooks is None else hooks
    lookups = Lookups(workshop, lambda result: metrics.lookups.labels(result).inc())
    caps, bell = caps_of(settings, store, metrics, feed.process)
    account, statuses = account_of(settings), Statuses()
    hang_ups = HangUps(statuses, account, lambda known: metrics.hang_ups.labels(known).inc())
    legs = Legs(account, TransferUrls(public_url, secret_key))
    transfers = transfers_of(store, workshop, legs, board, feed)
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
    calls = CallDesk(
        settings,
        numbers,
        live,
        metrics,
        feed,
        held,
        writer,
        watch,
        workshop,
        lookups,
        Histories(HistoryStore(store.database) if store else None),
        hooks,
        hang_ups,
        transfers,
        caps,
        outgoing,
        remember,
    )
    webhooks = Webhooks(
        door, numbers, gate, live, transfers, lookups, (statuses.told, transfers.caller_told), outgoing, caps
    )
    media = MediaEndpoint(door, gate, live, calls.hold)

    urls = own_urls(public_url, settings.host, settings.port)
    phone = ConsolePhone(
        Trials(secret_key),
        calls.answer,
        live,
        feed,
        numbers.profile_for,
        lambda profile: workshop.known.lacks(profile.tool_lists()),
        urls,
    )

    stopping = asyncio.Event()
    console: Console | None = None
    api: list[BaseRoute] = []
    if store and book and calling:
        editor = ProfileEditor(store.numbers, settings.audio, workshop.known)
        found = checkup_of(settings, store, public_url)
        console = Console(store, book, editor, found, secret_key, urls, board, calling.orders, stopping)
        api = [_api(store, book, editor, found, board, calling.orders, stopping, secret_key, public_url)]

    async def healthz(request: Request) -> Response:
        return PlainTextResponse("ok")

    async def readyz(request: Request) -> Response:
        return PlainTextResponse("draining", 503) if live.draining else PlainTextResponse("ready")

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as running:
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
            await running.enter_async_context(board.running())
            if calling:
                await running.enter_async_context(calling.running())
            yield
            # The calls close their logs; only then may the writer be closed, and then what is left be filed.
            live.draining = True
            await live.finish()

    app = Starlette(
        routes=[
            Route("/twilio/voice", webhooks.voice, methods=["POST"]),
            Route("/twilio/after", webhooks.after, methods=["POST"]),
            Route("/twilio/closed", webhooks.closed, methods=["POST"]),
            Route("/twilio/status", webhooks.status, methods=["POST"]),
            Route("/twilio/amd", webhooks.answered_by, methods=["POST"]),
            Route("/twilio/whisper", webhooks.whisper, methods=["POST"]),
            Route("/twilio/whisper/key", webhooks.whisper_key, methods=["POST"]),
            WebSocketRoute("/twilio/media", media),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics.answer),
            *_pages(phone, console, authorise),
            *(RecordingDoor(book, recording_links).routes() if book else []),
            *api,
        ],
        exception_handlers={StoreError: console.frame.store_away} if console else {},
        lifespan=lifespan,
    )
    app.state.live, app.state.feed, app.state.board, app.state.book = live, feed, board, book
    app.state.held, app.state.stopping = held, stopping
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
    secret_key: str,
    public_url: str,
) -> BaseRoute:
    # Imported here: FastAPI takes 0.2 s, which the demo and the benchmark do without.
    from phonebot.web.api.api import PATH, create_api

    api = create_api(
        store, book, editor, found, board, orders, stopping, secret_key=secret_key, public_url=public_url
    )
    mount = Mount(PATH, api)
    # All below it is the API's to answer: Starlette's own pattern ends at a line break.
    mount.path_regex = re.compile(mount.path_regex.pattern, re.DOTALL)
    return mount


def local_url(host: str, port: int) -> str:
    """The public URL of a service that is reached from this machine alone."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def own_urls(public_url: str, host: str, port: int) -> tuple[str, ...]:
    """By which URLs a browser may have come to us: the public one, and those of this machine if we listen there."""
    names = ("127.0.0.1", "localhost")
    urls = [public_url, *([local_url(host, port)] if host in LOOPBACK_HOSTS else [])]
    for url in tuple(urls):
        named = urlsplit(url).hostname
        if named in names:
            urls += [url.replace(named, name, 1) for name in names]
    return tuple(dict.fromkeys(urls))


def checkup_of(settings: Settings, store: Store, public_url: str) -> Checkup:
    """What can be checked of this deployment."""

    def endpoint() -> Endpoint:
        return endpoint_for(settings, Profile())

    def session() -> Session:
        now = datetime.now().astimezone()
        return plan_for(Profile(), caller="", number="", now=now, carrier=traits_for(settings)).session

    token = _revealed(settings.twilio_auth_token)
    return Checkup(
        (
            checkup.database(store.database),
            checkup.storage(store.recordings),
            checkup.model(endpoint),
            checkup.twilio(settings.twilio_account_sid, token, settings.twilio_api_url, public_url),
            checkup.public_url(public_url),
        ),
        checkup.model_session(endpoint, session),
    )


class CallDesk:
    """Holds the calls whose streams were let in."""

    def __init__(
        self,
        settings: Settings,
        numbers: Answering,
        live: LiveCalls,
        metrics: Metrics,
        feed: Feed,
        held: HeldCalls,
        writer: Writer,
        watch: tuple[Watch, ...],
        workshop: Workshop,
        lookups: Lookups,
        histories: Histories,
        hooks: tuple[Hook, ...],
        hang_ups: HangUps,
        transfers: Transfers,
        caps: DayCaps,
        outgoing: Outgoing | None = None,
        remember: Callable[[Profile], None] | None = None,
    ) -> None:
        self.writer = writer
        self._settings = settings
        self._numbers = numbers
        self._live = live
        self._metrics = metrics
        self._feed = feed
        self._held = held
        self._watch = watch
        self._workshop = workshop
        self._lookups = lookups
        self._histories = histories
        self._hooks = hooks
        self._hang_ups = hang_ups
        self._transfers = transfers
        self._outgoing = outgoing
        self._caps = caps
        self._remember = remember
        self._guardroom = Guardroom(workshop)
        self._hold_audio = hold_audio_of(settings)

    def _writing(self) -> TextSession:
        """A model that answers in writing, for one call."""
        return TextSession(text_endpoint(self._settings))

    async def hold(self, socket: MediaSocket, reader: StreamReader, start: Start, admission: Admission) -> None:
        """A call from the carrier, until it has ended: its number's profile answers."""
        profile = self._numbers.profile_for(admission.number, admission.caller)
        if profile.version != admission.profile_version:
            log.info(
                "call %.40r is answered by version %s of profile %r: its webhook chose version %.20s",
                start.call_sid,
                profile.version,
                profile.name,
                admission.profile_version,
            )
        earlier: tuple[EarlierLine, ...] = ()
        if admission.returned:
            returned = Returned.of(admission.returned)
            earlier = await self._transfers.earlier(start.call_sid, returned, profile)
        arrival = Arrival(admission.caller, admission.number, profile, admission.kind, earlier)
        await self.answer(socket, reader, start, arrival)

    async def answer(self, socket: MediaSocket, reader: StreamReader, start: Start, arrival: Arrival) -> None:
        """One call, by whatever way it came, until it has ended."""
        profile = arrival.profile
        endpoint = endpoint_for(self._settings, profile)
        equipment = self._workshop.equip(profile, calls_servers=endpoint.dialect != "beta")
        # The model's socket does not wait for what is looked up: only its session does.
        early = EarlyLine(endpoint) if profile.lookup or profile.history else None
        async with AsyncExitStack() as stack:
            if early:
                stack.push_async_callback(early.close)
            await self._answer(socket, reader, start, arrival, endpoint, equipment, early)

    async def _answer(
        self,
        socket: MediaSocket,
        reader: StreamReader,
        start: Start,
        arrival: Arrival,
        endpoint: Endpoint,
        equipment: Equipment,
        early: EarlyLine | None,
    ) -> None:
        profile = arrival.profile
        found, history = await asyncio.gather(
            self._lookups.found(start.call_sid, profile, arrival.caller, arrival.number),
            self._histories.of(profile, arrival.caller, arrival.number),
        )
        known = with_history(profile, history)
        now = datetime.now().astimezone()
        outgoing = self._outgoing if arrival.kind == "outbound" else None
        order = await outgoing.order(start.call_sid) if outgoing else None
        if arrival.kind == "outbound":
            answered = briefed(known, now, order.reason if order else "")
        else:
            answered = answer(known, now)
        values = {**(found.values if found else {}), **answered.values, **({HISTORY: history} if history else {})}
        plan = plan_for(
            answered.profile,
            caller=arrival.caller,
            number=arrival.number,
            now=answered.now,
            carrier=traits_for(self._settings),
            offers=equipment.offers,
            looked_up=values,
            earlier=arrival.earlier,
            hold_audio=self._hold_audio,
            model=self._settings.model,
        )
        for problem in plan.problems:
            log.error("call %.40r, profile %r: %s", start.call_sid, profile.name, problem)
        if found and found.problem:
            plan = replace(plan, problems=(*plan.problems, found.problem))
        model = profile.model or self._settings.model
        about = About(
            call_sid=start.call_sid,
            kind=arrival.kind,
            stream_sid=start.stream_sid,
            from_number=arrival.number if arrival.kind == "outbound" else arrival.caller,
            to_number=arrival.caller if arrival.kind == "outbound" else arrival.number,
            profile=profile.name,
            profile_version=profile.version,
            provider=endpoint.name,
            model=model,
        )
        if self._remember:
            self._remember(profile)
        recorder = self.writer.recorder(about, audio=profile.record, from_start=not plan.notice)
        recorder.plan(plan)

        async def connect_model(session: Session) -> tuple[ModelConnection, ModelReady]:
            connection = await connect(endpoint, session, early=early)
            has_servers = any(offer.servers for offer in equipment.offers.values())
            if has_servers and connection.dialect == "beta":  # it was not known before
                log.error("call %.40r: its MCP servers are left out: %s", start.call_sid, NEEDS_GA)
            return connection, _ready(connection)

        journal = CallLog(recorder, lambda outcome: self._ended(start.call_sid, arrival, outcome))
        figures = CallMetrics(self._metrics)
        told = self._feed.begin(about, plan, audible=profile.record)
        typist = Typist(start.call_sid, lambda typed: bridge.type_in(typed))
        context = ToolContext(
            start.call_sid,
            arrival.caller,
            arrival.number,
            profile.name,
            typist=typist,
            play=lambda clip: bridge.play(clip),
            hidden_keys=lambda: bridge.hidden_keys,
        )
        toolbox, guard = equipment.toolbox(context), self._guardroom.guard(profile, context, self._writing)

        def call_for(hook: str) -> LiveCall:
            return LiveCall(context, hook, told.events, typist, bridge.hang_up)

        departure = Departure(
            lambda outcome: self._transfers.ended(start.call_sid, outcome, _said(arrival.earlier, told))
        )
        callee = Callee(
            profile.outbound,
            filled_message(profile, arrival, answered, values),
            lambda found: bridge.is_answered_by(found),
        )
        # The callee is first: how the call ended is told by the next, and needs what he had.
        journals: tuple[Journal, ...] = (callee,) if outgoing else ()
        capped = self._caps.journal(arrival.number, profile, model, lambda reached: bridge.cap(reached))
        journals = (*journals, journal, figures, told, departure, capped, *(watch(start) for watch in self._watch))
        bridge = Bridge(Call(plan), start, socket, reader, connect_model, journals, toolbox, guard)
        hooks = HookTasks(self._hooks, told.events, call_for, self._metrics)
        try:
            with (
                capped,
                self._held.holding(HeldCall(told, bridge, typist, profile.record)),
                outgoing.holding(start.call_sid, callee, order) if outgoing else nullcontext(),
            ):
                await bridge.run()
        finally:
            typist.close()
            recorder.close(journal.outcome)
            figures.ended(journal.outcome)
            told.close(journal.outcome)
            await hooks.close()

    def _ended(self, call_sid: str, arrival: Arrival, outcome: Outcome) -> None:
        """A call has left its stream, or lost it."""
        self._live.ended(call_sid, outcome)
        if arrival.kind != "browser":
            self._hang_ups.ended(call_sid, outcome)
        if arrival.kind == "outbound" and self._outgoing:
            self._outgoing.ended(call_sid)


def filled_message(profile: Profile, arrival: Arrival, answered: Answered, values: Mapping[str, str]) -> str:
    """What is left on an answering machine; "" where nothing is."""
    return fill(
        profile.outbound.message or "",
        caller=arrival.caller,
        number=arrival.number,
        now=answered.now,
        language=profile.language,
        further=values,
    )


class Departure:
    """A bridge's journal, behind that which keeps the lines: tells `ended` how the call left its stream."""

    def __init__(self, ended: Callable[[Outcome], None]) -> None:
        self._ended = ended

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        if actions and isinstance(actions[-1], Ended):
            self._ended(actions[-1].outcome)


def _said(earlier: Iterable[EarlierLine], told: CallFeed) -> list[tuple[LineRole, str]]:
    """What was said in a call, before it came back and since."""
    return [*((line.role, line.text) for line in earlier), *((line.role, line.text) for line in told.lines)]


class CallLog:
    """A bridge's journal that writes the call log, and tells `ended` how the call ended."""

    def __init__(self, recorder: Recorder, ended: Callable[[Outcome], None]) -> None:
        self.outcome: Outcome = "stream_lost"  # until the call says otherwise: it was cut off
        self._recorder = recorder
        self._ended = ended

    def happened(self, now: int, received: Input, actions: list[Action]) -> None:
        self._recorder.happened(now, received, actions)
        if actions and isinstance(actions[-1], Ended):
            self.outcome = actions[-1].outcome
            self._ended(self.outcome)


def afterwards_of(
    settings: Settings,
    store: Store,
    workshop: Workshop,
    recordings: RecordingLinks,
    public_url: str,
    metrics: Metrics,
) -> AfterWork:
    """What is done after the calls of this deployment."""

    def model(name: str | None) -> tuple[str, Endpoint]:
        return name or text_model(settings), text_endpoint(settings, name)

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
        Scribe(model),
        Courier(workshop.client, settings.secrets, links),
        who=process_name(),
        counted=lambda result: metrics.deliveries.labels(result).inc(),
    )
    metrics.after_waiting.set_function(lambda: work.waiting)
    return work


def transfers_of(store: Store | None, workshop: Workshop, legs: Legs, board: Board, feed: Feed) -> Transfers:
    """How calls of this process leave the bot for a person; its functions may do so from now on."""
    continuations = Continuations(store.continuations if store else None)
    transfers = Transfers(continuations, legs, board.tell)
    board.hear(transfers.passed_on)
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


CHEAP_MODEL = "gpt-realtime-2.1-mini"  # of OpenAI's list prices the lowest for text (realtime/prices.py)


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


def _ready(connection: ModelConnection) -> ModelReady:
    can = connection.endpoint.capabilities
    return ModelReady(
        connection.session,
        connection.input_format,
        connection.output_format,
        interrupts=can.interrupts,
        truncates=can.truncates,
        deletes=can.deletes,
    )

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from answering_server import HANGUP, SPEECH, Bot, Stream, serving
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from phonebot.audio import wav
from phonebot.simulator.caller import (
    Caller,
    Event,
    HangUp,
    Interrupt,
    Pause,
    Press,
    Say,
    WaitForBot,
    WaitForHangUp,
)
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.network import Network
from phonebot.simulator.phone import dial
from phonebot.simulator.signing import Fields, signature

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def bot() -> AsyncIterator[Bot]:
    async with serving(Bot()) as bot:
        yield bot


# ------------------------------------------------------------------ signatures


def test_a_form_is_signed_as_twilios_published_example() -> None:
    fields = [
        ("To", "+18005551212"),
        ("Digits", "1234"),
        ("From", "+14158675310"),
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675310"),
    ]
    url = "https://example.com/myapp.php?foo=1&bar=2"
    assert signature("12345", url, fields) == "L/OH5YylLD5NRKLltdqwSvS0BnU="


@pytest.mark.parametrize(
    ("url", "fields", "expected"),
    [
        ("wss://bot.example.com/twilio/media", [], "jv31GfTxPUcTBiKdnswIUT4zC/0="),
        ("wss://bot.example.com:443/twilio/media", [], "kMEWP7rZWEj4zpUzuWACsZbJNXs="),
        (
            "https://bot.example.com:8443/twilio/voice?agent=front%20desk&x=1%2B1",
            [("CallSid", "CA" + "1" * 32), ("Digits", "5"), ("Digits", "2"), ("Digits", "5")],
            "Vj5TBZaNYegbX6ST6AhiB0SgWgQ=",
        ),
    ],
)
def test_a_signature_covers_the_url_as_written_and_each_distinct_field(
    url: str, fields: Fields, expected: str
) -> None:
    assert signature(TOKEN, url, fields) == expected


# ------------------------------------------------------------------ a whole call


async def interrupted(stream: Stream) -> None:
    """Speaks for two seconds, stops when the caller speaks, stays until he hangs up."""
    await stream.until("start")
    await stream.send("mark", name="begin")
    for number in range(10):
        await stream.play(200)
        await stream.send("mark", name=f"piece {number}")
    while (fields := await stream.receive()) is not None:
        if fields["event"] == "media" and base64.b64decode(fields["media"]["payload"]) == b"x" * 160:
            await stream.send("clear")
            await stream.send("mark", name="fence")
            break
    await stream.until_closed()


async def test_a_caller_who_interrupts_hears_what_the_record_says_he_heard(bot: Bot, tmp_path: Path) -> None:
    bot.talk = interrupted
    bot.connects('<Parameter name="token" value="&lt;t&gt;"/>', 'action="/after"')
    bot.answers["/after"] = HANGUP
    told: list[Event] = []
    record = await bot.dialled(
        WaitForBot(),
        Interrupt(300, b"x" * 160, "stop"),
        Press("5"),
        Pause(200),
        from_number="+15550100007",
        auth_token=TOKEN,
        status_url=f"{bot.origin}/status",
        on_event=told.append,
    )
    assert (record.outcome, record.violations, record.failed_steps, record.passed) == (
        "caller hung up",
        [],
        [],
        True,
    )
    (stream,), carrier = bot.streams, record.streams[0].carrier
    # 300 ms and what the round trip took were heard, the rest was cleared.
    assert carrier.heard_bytes() >= 300 * 8
    assert carrier.clears[0].dropped_bytes == 16000 - carrier.heard_bytes()
    assert sum(piece.heard_bytes for piece in carrier.pieces) == carrier.heard_bytes()
    assert record.heard.count(SPEECH) == carrier.heard_bytes()
    assert record.said.count(b"x") == 160
    assert len(record.said) == len(record.heard)
    names = [fields["mark"]["name"] for fields in stream.received if fields["event"] == "mark"]
    assert names == ["begin", *(f"piece {number}" for number in range(10)), "fence"]
    assert [event.kind for event in told if event.kind != "cleared"] == [
        "bot starts",
        "caller says",
        "caller stops",
        "key",
        "caller hangs up",
    ]
    assert [event.detail for event in told if event.kind == "cleared"] == [
        f"{carrier.clears[0].dropped_bytes / 8:g} ms"
    ]
    assert told == record.events
    assert stream.received[-1]["event"] == "stop"
    assert stream.received[1]["start"]["customParameters"] == {"token": "<t>"}
    assert stream.received[1]["start"]["callSid"] == bot.form("/voice")["CallSid"] == record.call_sid

    assert bot.paths == ["/voice", "/after", "/status"]
    assert [exchange.purpose for exchange in record.exchanges] == ["voice", "connect action", "status"]
    assert bot.form("/voice")["From"] == "+15550100007"
    assert [bot.form(path)["CallStatus"] for path in bot.paths] == ["ringing", "completed", "completed"]
    assert int(bot.form("/status")["CallDuration"]) >= 1

    record.write_wav(tmp_path / "call.wav")
    stereo = wav.read(tmp_path / "call.wav")
    assert (stereo.encoding, stereo.channels, stereo.data[::2]) == ("pcmu", 2, bytes(record.said))


async def test_every_request_is_signed_as_twilios_library_checks_it(bot: Bot) -> None:
    bot.connects(attributes='action="/after?leg=a%20b"')
    bot.answers["/after"] = HANGUP
    await bot.dialled(HangUp(), auth_token=TOKEN, status_url=f"{bot.origin}/status")
    validator = RequestValidator(TOKEN)
    for path, request, form in bot.asked:
        url = f"{bot.origin}{request.raw_path}"
        assert validator.validate(url, dict(form), request.headers["X-Twilio-Signature"]), path
    upgrade = bot.streams[0].request.headers
    assert validator.validate(f"{bot.origin.replace('http', 'ws')}/media", {}, upgrade["x-twilio-signature"])


async def test_the_webhook_form_has_an_empty_a_non_ascii_and_an_unknown_field(bot: Bot) -> None:
    bot.answers["/voice"] = HANGUP
    await bot.dialled()
    form = bot.form("/voice")
    assert (form["FromCity"], form["CallerName"], form["NewerThanYourCode"]) == ("", '"Zoë & Sons "', "yes")
    headers = bot.asked[0][1].headers
    assert headers["User-Agent"] == "TwilioProxy/1.1"
    assert "I-Twilio-Idempotency-Token" in headers


async def test_the_upgrade_offers_what_twilio_offers_and_nothing_else(bot: Bot) -> None:
    await bot.dialled(HangUp(), auth_token=TOKEN)
    headers = {name.lower(): value for name, value in bot.streams[0].request.headers.items()}
    assert sorted(headers) == [
        "connection",
        "host",
        "sec-websocket-key",
        "sec-websocket-version",
        "upgrade",
        "user-agent",
        "x-twilio-signature",
    ]
    assert headers["user-agent"] == "Twilio.TmeWs/1.0"


async def test_a_public_url_is_named_and_signed_while_the_local_address_is_dialled(bot: Bot) -> None:
    bot.answers["/voice"] = (
        '<Response><Connect action="https://bot.example.com/base/after">'
        '<Stream url="wss://bot.example.com/base/media"/></Connect></Response>'
    )
    bot.answers["/after"] = HANGUP
    record = await bot.dialled(HangUp(), auth_token=TOKEN, public_url="https://bot.example.com/base")
    assert record.violations == []
    validator = RequestValidator(TOKEN)
    assert bot.paths == ["/voice", "/after"]
    for path, request, form in bot.asked:
        assert request.headers["Host"] == "bot.example.com"
        url = f"https://bot.example.com/base{path}"
        assert validator.validate(url, dict(form), request.headers["X-Twilio-Signature"])
    upgrade = bot.streams[0].request.headers
    assert upgrade["Host"] == "bot.example.com"
    assert upgrade["x-twilio-signature"] == signature(TOKEN, "wss://bot.example.com/base/media")


async def test_a_server_that_closes_the_stream_is_asked_for_more_twiml(bot: Bot) -> None:
    async def farewell(stream: Stream) -> None:
        await stream.until("start")
        await stream.play(100)
        await stream.send("mark", name="farewell")
        await stream.until("mark")
        await stream.socket.close(code=1001)

    bot.talk = farewell
    bot.connects(attributes='action="/after" method="GET"')
    bot.answers["/after"] = '<Response><Say>Good <break/>bye</Say><Pause length="0"/><Dial>+1555</Dial></Response>'
    record = await bot.dialled(WaitForHangUp(), auth_token=TOKEN)
    assert (record.outcome, record.passed) == ("bot hung up", True)
    assert (record.streams[0].ended_by, record.streams[0].close_code) == ("server", 1001)
    assert record.streams[0].carrier.heard_bytes() == 800
    assert [(event.kind, event.detail) for event in record.events if event.kind in ("plays", "dials")] == [
        ("plays", "Good bye"),
        ("dials", "+1555"),
    ]
    _, request, _ = bot.asked[-1]
    assert request.query["CallStatus"] == "in-progress"
    assert RequestValidator(TOKEN).validate(
        f"{bot.origin}{request.raw_path}", {}, request.headers["X-Twilio-Signature"]
    )


async def test_delays_of_both_links_lie_between_a_mark_and_its_echo(bot: Bot) -> None:
    round_trips_ms: list[float] = []

    async def probe(stream: Stream) -> None:
        await stream.until("start")
        loop = asyncio.get_running_loop()
        sent_s = loop.time()
        await stream.send("mark", name="probe")
        await stream.until("mark")
        round_trips_ms.append((loop.time() - sent_s) * 1000)
        await stream.socket.close()

    bot.talk = probe
    record = await bot.dialled(
        WaitForHangUp(), network=Network(uplink_delay_ms=60, uplink_jitter_ms=20, downlink_delay_ms=40)
    )
    assert record.passed
    assert round_trips_ms[0] >= 100


async def test_stream_status_callbacks_tell_start_and_end(bot: Bot) -> None:
    url = f"{bot.origin}/stream"
    bot.answers["/voice"] = (
        f'<Response><Connect><Stream url="{bot.origin.replace("http", "ws")}/media" statusCallback="{url}"/>'
        "</Connect></Response>"
    )
    await bot.dialled(HangUp())
    events = [dict(form)["StreamEvent"] for path, _, form in bot.asked if path == "/stream"]
    assert sorted(events) == ["stream-started", "stream-stopped"]


async def test_many_calls_run_at_once(bot: Bot) -> None:
    async def echo(stream: Stream) -> None:
        await stream.until("start")
        await stream.play(100)
        await stream.until_closed()

    bot.talk = echo
    records = await asyncio.gather(*(bot.dialled(WaitForBot(), Pause(200)) for _ in range(20)))
    assert [record.passed for record in records] == [True] * 20
    assert [record.streams[0].carrier.heard_bytes() for record in records] == [800] * 20
    assert len({record.call_sid for record in records}) == 20


async def test_a_flood_of_messages_waits_for_the_link_and_none_is_lost(bot: Bot) -> None:
    async def flood(stream: Stream) -> None:
        await stream.until("start")
        for _ in range(3000):
            await stream.send("clear")
        await stream.socket.close()

    bot.talk = flood
    record = await bot.dialled(WaitForHangUp(), network=Network(downlink_delay_ms=100))
    assert record.passed
    assert len(record.streams[0].carrier.clears) == 3000


# ------------------------------------------------------------------ calls that go wrong


async def test_a_refused_signature_is_reported_with_what_to_look_at(bot: Bot) -> None:
    bot.answers["/voice"] = web.Response(status=403)
    record = await bot.dialled(Say(b"x"), auth_token="forged")
    assert record.outcome == "failed"
    assert record.reason == (
        f"POST {bot.origin}/voice answered 403: it refuses the signature; "
        "do the auth token and the public URL match the server's?"
    )
    assert [violation.code for violation in record.violations] == [11200]
    assert "forged" not in repr(record)


async def test_a_missing_signature_is_reported_as_such(bot: Bot) -> None:
    bot.answers["/voice"] = web.Response(status=403)
    record = await bot.dialled()
    assert record.reason.endswith("403: it wants a signature, and this caller was given no auth token to sign with")


async def test_a_refused_upgrade_is_reported_and_the_action_still_asked(bot: Bot) -> None:
    bot.answers["/media"] = web.Response(status=403)
    bot.answers["/after"] = HANGUP
    bot.connects(attributes='action="/after"')
    record = await bot.dialled(WaitForHangUp(), auth_token=TOKEN)
    assert record.outcome == "bot hung up"
    (violation,) = record.violations
    assert violation.code == 31920
    assert "answered the upgrade with 403: it refuses the signature" in violation.reason
    assert bot.paths == ["/voice", "/media", "/after"]
    assert record.streams == []


async def test_a_redirected_upgrade_is_not_followed(bot: Bot) -> None:
    bot.answers["/media"] = web.Response(status=302, headers={"Location": "/elsewhere"})
    record = await bot.dialled(WaitForHangUp())
    assert [violation.code for violation in record.violations] == [31920]
    assert bot.paths == ["/voice", "/media"]


async def test_a_server_that_is_not_there_makes_a_failed_record(unused_tcp_port: int) -> None:
    record = await dial(f"http://127.0.0.1:{unused_tcp_port}/voice", Caller(Say(b"x")))
    assert (record.outcome, record.violations[0].code) == ("failed", 11205)
    assert f"POST http://127.0.0.1:{unused_tcp_port}/voice was not answered" in record.reason
    assert record.failed_steps == ["step 1 (say): the call ended before it was done"]


async def test_a_stream_address_where_nobody_listens_is_31902(bot: Bot, unused_tcp_port: int) -> None:
    bot.answers["/voice"] = (
        f'<Response><Connect><Stream url="ws://127.0.0.1:{unused_tcp_port}/"/></Connect></Response>'
    )
    record = await bot.dialled(WaitForHangUp())
    assert [violation.code for violation in record.violations] == [31902]


async def test_a_connection_that_breaks_is_31903(bot: Bot) -> None:
    async def crash(stream: Stream) -> None:
        await stream.until("media")
        assert stream.request.transport is not None
        stream.request.transport.abort()

    bot.talk = crash
    record = await bot.dialled(WaitForHangUp())
    assert [violation.code for violation in record.violations] == [31903]
    assert (record.streams[0].ended_by, record.streams[0].close_code) == ("server", None)


async def test_a_message_larger_than_any_is_31924(bot: Bot) -> None:
    async def shout(stream: Stream) -> None:
        await stream.until("start")
        await stream.play(200_000)
        await stream.until_closed()

    bot.talk = shout
    record = await bot.dialled(WaitForHangUp())
    assert [violation.code for violation in record.violations] == [31924]


async def test_wrong_messages_of_the_server_are_in_the_record(bot: Bot) -> None:
    async def stammer(stream: Stream) -> None:
        await stream.until("start")
        await stream.socket.send_bytes(b"hello")
        await stream.send("mark")
        await stream.socket.close()

    bot.talk = stammer
    record = await bot.dialled(WaitForHangUp())
    assert [str(violation) for violation in record.violations] == [
        "31950: a binary message: only text is allowed",
        "31951: mark: lacks 'mark'",
    ]
    assert not record.passed


async def test_a_server_that_does_not_read_loses_messages_and_is_told_so(bot: Bot) -> None:
    async def deaf(stream: Stream) -> None:
        await stream.until("start")
        assert stream.request.transport is not None
        stream.request.transport.pause_reading()
        for _ in range(300):
            await stream.send("mark", name="m" * 100_000)
        stream.request.transport.resume_reading()
        await stream.until_closed()

    bot.talk = deaf
    record = await bot.dialled(Pause(500))
    assert record.streams[0].lost_messages > 0
    assert [violation.code for violation in record.violations] == [31930]


async def test_a_host_name_that_cannot_be_is_31901(bot: Bot) -> None:
    bot.answers["/voice"] = f'<Response><Connect><Stream url="wss://{"x" * 64}.com/"/></Connect></Response>'
    record = await bot.dialled(WaitForHangUp())
    assert [violation.code for violation in record.violations] == [31901]


async def test_a_strict_carrier_stops_the_stream_at_the_first_violation(bot: Bot) -> None:
    async def stammer(stream: Stream) -> None:
        await stream.until("start")
        await stream.send("hello")
        await stream.until_closed()

    bot.talk = stammer
    record = await bot.dialled(WaitForHangUp(), oddities=Oddities(strict=True))
    assert record.streams[0].ended_by == "violation"
    assert bot.streams[0].received[-1]["event"] == "stop"


async def test_a_call_ends_at_its_time_limit(bot: Bot) -> None:
    record = await bot.dialled(WaitForHangUp(), max_call_s=0.3)
    assert (record.outcome, record.passed) == ("timed out", False)
    assert bot.streams[0].received[-1]["event"] == "stop"


async def test_redirects_without_end_are_given_up(bot: Bot) -> None:
    bot.answers["/voice"] = "<Response><Redirect>/voice</Redirect></Response>"
    record = await bot.dialled()
    assert record.reason == "more than 30 documents of TwiML: they redirect without end"


async def test_a_rejected_call_is_not_answered(bot: Bot) -> None:
    bot.answers["/voice"] = '<Response><Reject reason="busy"/></Response>'
    record = await bot.dialled(status_url=f"{bot.origin}/status")
    assert (record.outcome, record.reason) == ("rejected", "busy")
    assert (bot.form("/status")["CallStatus"], bot.form("/status")["CallDuration"]) == ("busy", "0")


async def test_the_fallback_is_asked_when_the_webhook_fails(bot: Bot) -> None:
    bot.answers["/voice"] = web.Response(status=500)
    bot.answers["/fallback"] = HANGUP
    record = await bot.dialled(WaitForHangUp(), fallback_url=f"{bot.origin}/fallback")
    assert record.outcome == "bot hung up"
    form = bot.form("/fallback")
    assert (form["ErrorCode"], form["ErrorUrl"]) == ("11200", f"{bot.origin}/voice")


async def test_an_address_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'bot\.example\.com' is no URL: it must look like https://"):
        await dial("bot.example.com", Caller())


# ------------------------------------------------------------------ TwiML that breaks a rule

BOMB = '<!DOCTYPE x [<!ENTITY a "aaaa">]><Response>&a;</Response>'


@pytest.mark.parametrize(
    ("body", "content_type", "code", "reason"),
    [
        (HANGUP, "application/json", 12300, "content type 'application/json' must be one of"),
        ("\n" + HANGUP, "text/xml", 12100, "without a blank before it"),
        ("", "text/xml", 12100, "must begin with its XML declaration"),
        ("<Response>", "text/xml", 12100, "not XML: no element found"),
        ("<response/>", "text/xml", 12100, "TwiML is a <Response>, not a <response>"),
        (BOMB, "text/xml", 12100, "must not have a document type declaration"),
        (f"<Response>{' ' * 65536}</Response>", "text/xml", 11750, "more than 65536 bytes"),
        ("<Response><Redirect>http://[</Redirect></Response>", "text/xml", 11100, "'http://[' is no URL"),
    ],
)
async def test_twiml_that_twilio_would_not_run_fails_the_call(
    bot: Bot, body: str, content_type: str, code: int, reason: str
) -> None:
    bot.answers["/voice"] = web.Response(text=body, content_type=content_type)
    record = await bot.dialled()
    assert record.outcome == "failed"
    assert [violation.code for violation in record.violations] == [code]
    assert reason in record.violations[0].reason


@pytest.mark.parametrize(
    ("verbs", "problem"),
    [
        (
            '<Connect><Stream url="ws://bot.example.com/"/></Connect>',
            "31922: Stream url 'ws://bot.example.com/' must",
        ),
        ('<Connect><Stream url="https://127.0.0.1/"/></Connect>', "31922: Stream url 'https://127.0.0.1/' must"),
        ('<Connect><Stream url="wss://[/"/></Connect>', "11100: Stream url 'wss://[/': "),
        ("<Connect></Connect>", "Connect holds nothing: it must hold one Stream"),
        ("<connect/>", "<connect> is no TwiML verb; names are case sensitive"),
        ('<Pause length="long"/>', "Pause length 'long' is no number of seconds"),
    ],
)
async def test_a_verb_that_breaks_a_rule_is_passed_over_and_noted(bot: Bot, verbs: str, problem: str) -> None:
    bot.answers["/voice"] = f"<Response>{verbs}<Start/></Response>"
    record = await bot.dialled()
    assert record.outcome == "bot hung up"
    assert [str(violation)[: len(problem)] for violation in record.violations] == [problem]
    assert record.events[-1].detail == "Start"


async def test_a_stream_with_odd_twiml_is_dialled_and_each_oddity_noted(bot: Bot) -> None:
    long = "v" * 496
    bot.connects(
        f'<Parameter name="long" value="{long}"/><Parameter name="ok" value="{long[1:-1]}"/><Param/>',
        'action="/after"',
        after="<Say>never</Say>",
    )
    twiml = bot.answers["/voice"]
    assert isinstance(twiml, str)
    bot.answers["/voice"] = twiml.replace('/media"', '/media?call=1"').replace("</Stream>", "</Stream><Stream/>")
    bot.answers["/after"] = HANGUP
    record = await bot.dialled(HangUp())
    media_url = f"{bot.origin.replace('http', 'ws')}/media"
    assert [str(violation) for violation in record.violations] == [
        "verbs after a Connect with action are never reached",
        "Connect holds Stream, Stream: it must hold one Stream",
        f"31920: Stream url '{media_url}?call=1' has a query, which is not sent: use Parameter",
        "Parameter long: 500 characters, 499 are allowed",
        "Stream holds a <Param>: it may hold Parameter with a name",
    ]
    assert bot.streams[0].request.query_string == ""
    assert bot.streams[0].received[1]["start"]["customParameters"] == {"ok": long[1:-1]}

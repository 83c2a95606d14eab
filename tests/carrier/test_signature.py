"""
Signatures against vectors made with Twilio's library, a published one, and that library itself.

What the library gets wrong for us is tested by itself: uploads, missing headers, user names, wss ports.
"""

import string
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # ships no types

from phonebot.carrier.signature import form_is_signed, sign, signed_url, stream_is_signed

TOKEN = "0123456789abcdef0123456789abcdef"
CALL_SID = "CA" + "1" * 32

VOICE_URL = "https://bot.example.com/twilio/voice"
VOICE_FORM = [
    ("AccountSid", "AC" + "2" * 32),
    ("ApiVersion", "2010-04-01"),
    ("CallSid", CALL_SID),
    ("CallStatus", "ringing"),
    ("CallerName", "Zoë & Sons "),
    ("Direction", "inbound"),
    ("From", "+15550100001"),
    ("FromCity", ""),
    ("To", "+15550100002"),
]
VOICE_SIGNATURE = "gfMPaa/Ca+BqSQDrUJ+Oy9pa71I="

REPEATED_URL = "https://bot.example.com/twilio/voice?agent=front%20desk&x=1%2B1"
REPEATED_FORM = [("CallSid", CALL_SID), ("Digits", "5"), ("Digits", "2"), ("Digits", "5")]

GET_URL = f"https://bot.example.com/twilio/voice?CallSid={CALL_SID}&From=%2B15550100001"

STREAM_URL = "wss://bot.example.com/twilio/media"
STREAM_SIGNATURE = "jv31GfTxPUcTBiKdnswIUT4zC/0="


def replaced(form: Sequence[tuple[str, str]], name: str, value: str) -> list[tuple[str, str]]:
    return [(key, value if key == name else old) for key, old in form]


# ------------------------------------------------------------------------------------------- vectors


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (VOICE_URL, VOICE_FORM, VOICE_SIGNATURE),
        (VOICE_URL, [field for field in VOICE_FORM if field[1]], "e77UV/ZCiZaF/809hRXVNb+dzCU="),
        (VOICE_URL, replaced(VOICE_FORM, "CallerName", "Zoë & Sons"), "LheZhPt1g+yVNQR3E3kqlz131Cg="),
        ("https://bot.example.com:443/twilio/voice", VOICE_FORM, "KxH7cx9OMxrt08b1kMO0kyHg/5c="),
        (REPEATED_URL, REPEATED_FORM, "Vj5TBZaNYegbX6ST6AhiB0SgWgQ="),
        (GET_URL, [], "bWltyRw8puUcEWjfmoeMuNPZLIg="),
        (STREAM_URL, [], STREAM_SIGNATURE),
        ("wss://bot.example.com/twilio/media/", [], "jPBfhCePJE06xdlInclVgCK8jDE="),
        ("wss://bot.example.com:443/twilio/media", [], "kMEWP7rZWEj4zpUzuWACsZbJNXs="),
        ("https://bot.example.com/twilio/media", [], "3JK4nkdN0RhmLI8xiAQ980zulC4="),
        ("wss://bot.example.com/twilio/media/8f1c2d", [], "7GAPub1pY4p7jZlwYT0P0kWl2kw="),
    ],
)
def test_the_signature_of_a_known_request_is_the_known_one(
    url: str, form: list[tuple[str, str]], signature: str
) -> None:
    assert sign(TOKEN, url, form) == signature


def test_the_vector_that_twilio_publishes_is_reproduced() -> None:
    form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675310"),
        ("Digits", "1234"),
        ("From", "+14158675310"),
        ("To", "+18005551212"),
    ]
    url = "https://example.com/myapp.php?foo=1&bar=2"
    assert sign("12345", url, form) == "L/OH5YylLD5NRKLltdqwSvS0BnU="
    assert form_is_signed(["12345"], url, form, "L/OH5YylLD5NRKLltdqwSvS0BnU=")


# ------------------------------------------------------------------------------------------- forms


def test_a_signed_form_is_accepted_in_whatever_order_its_fields_come() -> None:
    assert form_is_signed([TOKEN], VOICE_URL, VOICE_FORM, VOICE_SIGNATURE)
    assert form_is_signed([TOKEN], VOICE_URL, VOICE_FORM[::-1], VOICE_SIGNATURE)


@pytest.mark.parametrize(
    "form",
    [
        [],
        VOICE_FORM[1:],
        [*VOICE_FORM, ("Extra", "")],
        [field for field in VOICE_FORM if field[1]],
        replaced(VOICE_FORM, "CallerName", "Zoë & Sons"),
        replaced(VOICE_FORM, "To", "+15550100003"),
    ],
)
def test_a_form_that_is_not_the_signed_one_is_refused(form: list[tuple[str, str]]) -> None:
    assert not form_is_signed([TOKEN], VOICE_URL, form, VOICE_SIGNATURE)


def test_a_repeated_field_is_signed_with_each_of_its_values_once() -> None:
    signature = "Vj5TBZaNYegbX6ST6AhiB0SgWgQ="
    assert form_is_signed([TOKEN], REPEATED_URL, REPEATED_FORM, signature)
    assert not form_is_signed([TOKEN], REPEATED_URL, list(dict(REPEATED_FORM).items()), signature)


def test_a_decoded_query_is_not_the_signed_one() -> None:
    decoded = "https://bot.example.com/twilio/voice?agent=front desk&x=1+1"
    assert not form_is_signed([TOKEN], decoded, REPEATED_FORM, "Vj5TBZaNYegbX6ST6AhiB0SgWgQ=")


def test_a_get_is_signed_by_its_url_alone() -> None:
    assert form_is_signed([TOKEN], GET_URL, (), "bWltyRw8puUcEWjfmoeMuNPZLIg=")


@pytest.mark.parametrize(
    "url",
    [
        "https://bot.example.com:443/twilio/voice",
        "https://bot.example.com:8443/twilio/voice",
        "https://user:secret@bot.example.com/twilio/voice",
        "https://user:p@ss@bot.example.com:8443/twilio/voice",
    ],
)
def test_port_and_user_do_not_count_where_the_carrier_leaves_them_out(url: str) -> None:
    assert form_is_signed([TOKEN], url, VOICE_FORM, VOICE_SIGNATURE)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        (VOICE_URL, "https://bot.example.com:443/twilio/voice"),
        ("http://bot.example.com/twilio/voice", "http://bot.example.com:80/twilio/voice"),
        ("http://127.0.0.1:8080/twilio/voice", "http://127.0.0.1:8080/twilio/voice"),
        ("http://[::1]:8080/twilio/voice", "http://[::1]:8080/twilio/voice"),
        ("http://[::1]:8080/twilio/voice", "http://[::1]/twilio/voice"),
        ("https://bot.example.com:443/twilio/voice?", "https://bot.example.com/twilio/voice?"),
    ],
)
def test_a_url_with_the_port_is_accepted_where_the_carrier_signs_it(url: str, signed: str) -> None:
    assert form_is_signed([TOKEN], url, VOICE_FORM, sign(TOKEN, signed, VOICE_FORM))


@pytest.mark.parametrize(
    "url",
    [
        "http://bot.example.com/twilio/voice",
        "https://bot.example.com/twilio/voice/",
        "https://bot.example.com/twilio/Voice",
        "https://bot.example.com/twilio/voice?",
        "https://bot.example.org/twilio/voice",
        "https://bot.example.com/twilio/voice?a=1",
        "https://bot.example.com/twilio/voice#",
        "https://bot.example.com/twilio/voice#a",
        "https://bot.example.com/twilio/voice\n",
        "https://bot.example.com:/twilio/voice",
    ],
)
def test_another_url_is_refused(url: str) -> None:
    assert not form_is_signed([TOKEN], url, VOICE_FORM, VOICE_SIGNATURE)


def test_a_stream_url_is_not_accepted_for_a_form() -> None:
    assert not form_is_signed([TOKEN], STREAM_URL, (), STREAM_SIGNATURE)


# ------------------------------------------------------------------------------------------- tokens and headers


def test_each_of_several_tokens_may_have_signed() -> None:
    other = sign("other", VOICE_URL, VOICE_FORM)
    assert form_is_signed(["other", TOKEN], VOICE_URL, VOICE_FORM, VOICE_SIGNATURE)
    assert form_is_signed(["other", TOKEN], VOICE_URL, VOICE_FORM, other)
    assert not form_is_signed([TOKEN], VOICE_URL, VOICE_FORM, other)


def test_without_a_token_nothing_is_signed() -> None:
    assert not form_is_signed([], VOICE_URL, VOICE_FORM, VOICE_SIGNATURE)


def test_an_empty_token_signs_nothing() -> None:
    assert not form_is_signed([""], VOICE_URL, VOICE_FORM, sign("", VOICE_URL, VOICE_FORM))


def test_a_single_str_in_place_of_the_tokens_is_a_mistake_of_ours_and_raises() -> None:
    with pytest.raises(TypeError, match="must be a sequence of auth tokens"):
        form_is_signed(TOKEN, VOICE_URL, VOICE_FORM, sign("0", VOICE_URL, VOICE_FORM))


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        " ",
        VOICE_SIGNATURE[:-1],
        VOICE_SIGNATURE + "=",
        VOICE_SIGNATURE + "\n",
        VOICE_SIGNATURE.lower(),
        VOICE_SIGNATURE.replace("/", "_").replace("+", "-"),
        "gfMPaa/Ca+BqSQDrUJ+Oy9pa71é=",
        "\ud800" * 28,
        "\x00" * 28,
        "A" * 100_000,
    ],
)
def test_a_missing_or_malformed_signature_is_refused_everywhere(signature: str | None) -> None:
    assert not form_is_signed([TOKEN], VOICE_URL, VOICE_FORM, signature)
    assert not stream_is_signed([TOKEN], STREAM_URL, signature)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "bot.example.com",
        "https://",
        "https://[",
        "https://[::1",
        "https://h:port/",
        "https://h:999999/",
        "ftp://h/",
    ],
)
def test_what_is_no_url_is_refused_everywhere(url: str) -> None:
    signature = sign(TOKEN, url)
    assert not form_is_signed([TOKEN], url, (), signature)
    assert not stream_is_signed([TOKEN], url, signature)


@settings(deadline=None)
@given(url=st.text(), name=st.text(), value=st.text(), signature=st.none() | st.text())
def test_nothing_that_a_stranger_sends_is_accepted_or_raises(
    url: str, name: str, value: str, signature: str | None
) -> None:
    assert not form_is_signed([TOKEN], "https://h/" + url, [(name, value)], signature)
    assert not stream_is_signed([TOKEN], "wss://h/" + url, signature)


def test_a_field_that_is_an_upload_is_refused() -> None:
    form = [("CallSid", CALL_SID), ("To", object())]
    assert not form_is_signed([TOKEN], VOICE_URL, form, VOICE_SIGNATURE)  # type: ignore[arg-type]


def test_text_that_has_no_utf_8_is_refused() -> None:
    assert not form_is_signed([TOKEN], VOICE_URL, [("CallSid", "\ud800")], VOICE_SIGNATURE)
    assert not form_is_signed([TOKEN], VOICE_URL + "\ud800", (), VOICE_SIGNATURE)


# ------------------------------------------------------------------------------------------- streams


@pytest.mark.parametrize(
    "signed",
    [
        "wss://bot.example.com/twilio/media",
        "wss://bot.example.com/twilio/media/",
        "wss://bot.example.com:443/twilio/media",
        "wss://bot.example.com:443/twilio/media/",
    ],
)
@pytest.mark.parametrize("url", [STREAM_URL, "wss://bot.example.com:443/twilio/media"])
def test_an_upgrade_is_accepted_with_and_without_closing_slash_and_port(url: str, signed: str) -> None:
    assert stream_is_signed([TOKEN], url, sign(TOKEN, signed))


@pytest.mark.parametrize(
    "signed",
    [
        "https://bot.example.com/twilio/media",
        "ws://bot.example.com/twilio/media",
        "wss://bot.example.com:80/twilio/media",
        "wss://bot.example.com/twilio/media//",
        "wss://bot.example.com/twilio/media?",
        "wss://bot.example.com/twilio",
        "wss://bot.example.org/twilio/media",
    ],
)
def test_an_upgrade_signed_for_another_url_is_refused(signed: str) -> None:
    assert not stream_is_signed([TOKEN], STREAM_URL, sign(TOKEN, signed))


def test_a_second_slash_is_not_added_to_a_url_that_has_one() -> None:
    signature = sign(TOKEN, "wss://bot.example.com/twilio/media//")
    assert not stream_is_signed([TOKEN], "wss://bot.example.com/twilio/media/", signature)


def test_an_upgrade_on_loopback_is_signed_over_the_ws_url_with_its_port() -> None:
    url = "ws://127.0.0.1:8080/twilio/media"
    assert stream_is_signed([TOKEN], url, sign(TOKEN, url))
    assert not stream_is_signed([TOKEN], url, sign(TOKEN, "ws://127.0.0.1:8081/twilio/media"))


def test_a_web_url_is_not_accepted_for_a_stream() -> None:
    assert not stream_is_signed([TOKEN], VOICE_URL, sign(TOKEN, VOICE_URL))


# ------------------------------------------------------------------------------------------- the library

hosts = st.sampled_from(["bot.example.com", "127.0.0.1", "localhost"])
ports = st.sampled_from(["", ":80", ":443", ":8443"])
words = st.text(string.ascii_letters + string.digits + "-._~%+=&", max_size=10)
web_urls = st.builds(
    "{}://{}{}/{}{}".format,
    st.sampled_from(["http", "https"]),
    hosts,
    ports,
    words,
    words.map(lambda q: q and "?" + q),
)
forms = st.lists(st.tuples(st.sampled_from(["To", "to", "From", "Zoë"]) | words, st.text(max_size=5)), max_size=6)


class Fields:
    """A form as the library takes it when fields repeat."""

    def __init__(self, fields: Sequence[tuple[str, str]]) -> None:
        self.fields = fields

    def __iter__(self) -> object:
        return iter([name for name, _ in self.fields])

    def __len__(self) -> int:
        return len(self.fields)

    def getall(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]


@settings(deadline=None)
@given(token=st.text(min_size=1), url=web_urls, form=forms)
def test_the_signature_is_the_one_that_the_library_computes(
    token: str, url: str, form: list[tuple[str, str]]
) -> None:
    assert sign(token, url, form) == RequestValidator(token).compute_signature(url, Fields(form))


@settings(deadline=None)
@given(url=web_urls, form=forms, data=st.data())
def test_a_web_request_is_accepted_exactly_when_the_library_accepts_it(
    url: str, form: list[tuple[str, str]], data: st.DataObject
) -> None:
    port = data.draw(ports)
    scheme, _, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    signed = f"{scheme}://{authority.partition(':')[0]}{port}{slash}{path}"
    signature = sign(TOKEN, signed, form)
    library_says = RequestValidator(TOKEN).validate(url, Fields(form), signature)
    assert form_is_signed([TOKEN], url, form, signature) == library_says


# ------------------------------------------------------------------------------------------- the URL of a request


@pytest.mark.parametrize(
    ("public_url", "path", "query", "url"),
    [
        ("https://bot.example.com", b"/twilio/voice", b"", "https://bot.example.com/twilio/voice"),
        ("https://bot.example.com/", b"/twilio/voice", b"", "https://bot.example.com/twilio/voice"),
        ("https://bot.example.com:8443", b"/a", b"", "https://bot.example.com:8443/a"),
        (
            "https://example.com/bots/one/",
            b"/twilio/voice",
            b"x=1",
            "https://example.com/bots/one/twilio/voice?x=1",
        ),
        ("http://127.0.0.1:8080", b"/twilio/voice", b"", "http://127.0.0.1:8080/twilio/voice"),
        ("https://h", b"/a%20b/%C3%A9", b"c=%2B1&d=front%20desk", "https://h/a%20b/%C3%A9?c=%2B1&d=front%20desk"),
    ],
)
def test_the_url_of_a_web_request_keeps_its_path_and_query_as_they_came(
    public_url: str, path: bytes, query: bytes, url: str
) -> None:
    assert signed_url(public_url, path, query, "http") == url


@pytest.mark.parametrize(
    ("public_url", "url"),
    [
        ("https://bot.example.com", "wss://bot.example.com/twilio/media"),
        ("https://example.com/bots/", "wss://example.com/bots/twilio/media"),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/twilio/media"),
    ],
)
def test_the_url_of_an_upgrade_has_the_websocket_scheme(public_url: str, url: str) -> None:
    assert signed_url(public_url, b"/twilio/media", b"", "ws") == url


def test_bytes_that_no_url_may_hold_make_a_url_that_nobody_signed() -> None:
    url = signed_url("https://bot.example.com", b"/twilio/voice\xff", b"\xc3\xa9", "http")
    assert not form_is_signed([TOKEN], url, VOICE_FORM, VOICE_SIGNATURE)


def test_a_path_cannot_change_the_host_of_the_url() -> None:
    assert signed_url("https://bot.example.com", b"@other.example.com/", b"", "http") == (
        "https://bot.example.com/@other.example.com/"
    )


def test_a_request_with_the_known_signature_is_accepted_from_its_raw_parts() -> None:
    url = signed_url("https://bot.example.com", b"/twilio/voice", b"agent=front%20desk&x=1%2B1", "http")
    assert form_is_signed([TOKEN], url, REPEATED_FORM, "Vj5TBZaNYegbX6ST6AhiB0SgWgQ=")


@pytest.mark.parametrize(
    "public_url",
    ["", "bot.example.com", "wss://bot.example.com", "https://", "https://h?x=1", "https://h/?", "https://h#x"],
)
def test_a_public_url_that_is_none_is_an_error(public_url: str) -> None:
    with pytest.raises(ValueError, match="the public URL must be like"):
        signed_url(public_url, b"/", b"", "http")

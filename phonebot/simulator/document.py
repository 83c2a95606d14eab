"""
TwiML as the carrier reads it, from Twilio, "TwiML for Programmable Voice", and what it would not run.

None of it is shared with the service that writes the TwiML.
"""

from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urljoin, urlsplit
from xml.parsers import expat

MAX_PARAMETER_CHARACTERS = 500  # TwiML Stream, Parameter: name and value together stay below
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Fault(Exception):
    """What the server did cannot be used: the code that Twilio reports, and the reason as text."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


@dataclass(slots=True)
class Element:
    """A verb or noun of TwiML. `text` is its own, without that of its children."""

    name: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    @property
    def method(self) -> str:
        """How the verb has its action, or its document, asked for."""
        return "GET" if self.attributes.get("method", "").upper() == "GET" else "POST"

    def whole_text(self) -> str:
        """Its own text, and then that of all it holds."""
        return " ".join([self.text.strip(), *(child.whole_text() for child in self.children)]).strip()


@dataclass(frozen=True, slots=True)
class Document:
    """TwiML to be executed. `url` is what relative addresses in it refer to."""

    url: str
    verbs: list[Element]


def parse_twiml(body: bytes) -> list[Element]:
    """The verbs of a TwiML document. Raises Fault; a document type declaration, hence any entity, is refused."""
    if not body.startswith(b"<"):
        raise Fault(12100, "TwiML must begin with its XML declaration or <Response>, without a blank before it")
    root = Element("", {})
    path = [root]

    def start(name: str, attributes: dict[str, str]) -> None:
        element = Element(name, attributes)
        path[-1].children.append(element)
        path.append(element)

    def end(_name: str) -> None:
        path.pop()

    def text(characters: str) -> None:
        path[-1].text += characters

    def doctype(*_: object) -> NoReturn:
        raise Fault(12100, "TwiML must not have a document type declaration")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Fault(12100, f"not XML: {error}") from error
    if root.children[0].name != "Response":
        raise Fault(12100, f"TwiML is a <Response>, not a <{root.children[0].name}>")
    return root.children[0].children


def stream_url(document: Document, element: Element) -> str:
    """Where a Stream is to be dialled. Raises Fault for what Twilio would not dial; ws is allowed on loopback."""
    address = element.attributes.get("url", "")
    try:
        if "://" not in address:
            address = "ws" + urljoin(document.url, address).removeprefix("http")
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise Fault(11100, f"Stream url {address[:200]!r}: {error}") from error
    if not host or not (parts.scheme == "wss" or (parts.scheme == "ws" and host in LOOPBACK)):
        raise Fault(31922, f"Stream url {address[:200]!r} must begin with wss:// (ws:// only on loopback)")
    return address


def stream_parameters(element: Element) -> tuple[dict[str, str], list[str]]:
    """The parameters that a Stream hands on, and a sentence for each thing in it that is none."""
    parameters: dict[str, str] = {}
    problems: list[str] = []
    for child in element.children:
        name, value = child.attributes.get("name", ""), child.attributes.get("value", "")
        if child.name != "Parameter" or not name:
            problems.append(f"Stream holds a <{child.name}>: it may hold Parameter with a name")
        elif len(name) + len(value) >= MAX_PARAMETER_CHARACTERS:
            problems.append(f"Parameter {name[:40]}: {len(name) + len(value)} characters, 499 are allowed")
        else:
            parameters[name] = value
    return parameters, problems

"""
What a deployment decides, read once from the environment and a `.env` file, then frozen.

`load` is the way in. A variable that is set but empty counts as unset. The environment wins over the file. Which
model answers: the first of PHONEBOT_MODEL_PROVIDERS that can; without that the one at PHONEBOT_MODEL_URL, else the
one at AZURE_OPENAI_ENDPOINT, else OpenAI's.

`python -m phonebot.settings` prints the page docs/settings.md, made of the fields below.
"""

import difflib
import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails

from phonebot.errors import SettingsError

PREFIX = "PHONEBOT_"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})

_NOT_OURS = ("twilio_", "openai_", "azure_openai_")  # fields whose variables have the name others gave them
_HOST_NAME = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")  # container names may hold _
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*")  # segments of pchar, none empty (RFC 3986, 3.3)
_SECRET_NAME = re.compile(r"PHONEBOT_SECRET_[A-Z0-9_]{1,64}")
_SHOWN_CHARACTERS = 24  # of a wrong value: enough to recognise it

_TOOL_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?")
_PROVIDER_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
SECRET_PREFIX = f"{PREFIX}SECRET_"
"""Variables whose values profiles may name, by what follows; one of them is a setting of its own."""

# A pod sees these for each service of its namespace (Kubernetes, Service, environment variables).
_KUBERNETES_LINK = re.compile(r"PHONEBOT_(\w+_)?(SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_\w+)")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a setting may be, as the end of a sentence: for its error and for the table."""

    text: str


def _split(url: str, schemes: tuple[str, ...]) -> SplitResult:
    """A URL with a scheme, a host, and no user, password or fragment. Raises ValueError, which does not show it."""
    # urlsplit drops tabs and line breaks without a word.
    if not url.isprintable() or " " in url:
        raise ValueError("holds a space or a character that cannot be printed")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("has a host or a port that cannot be read") from None
    if parts.scheme not in schemes:
        raise ValueError(f"does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if "@" in parts.netloc:
        raise ValueError("holds a user or a password")
    if not parts.hostname or not _is_host(parts.hostname) or port == 0:
        raise ValueError("has a host or a port that cannot be read")
    if "#" in url:
        raise ValueError("has a fragment")
    return parts


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST_NAME.fullmatch(host) is not None
    return True


def _host(host: str) -> str:
    if not _is_host(host):
        raise ValueError("is neither a host name nor an address")
    return host


def _split_https(url: str) -> SplitResult:
    """The same for a URL that needs TLS unless it stays on this machine."""
    parts = _split(url, ("https", "http"))
    if parts.scheme == "http" and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError("is http:// to a host other than this machine")
    return parts


def _public_url(url: str) -> str:
    parts = _split_https(url)
    if "?" in url:
        raise ValueError("has a query")
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path):
        raise ValueError("has a path that cannot be a prefix")
    # urlsplit has put the scheme in lower case. In a host name case means nothing.
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def _https_url(url: str) -> str:
    _split_https(url)
    return url


def _model_url(url: str) -> str:
    _split(url, ("wss", "ws", "https", "http"))
    return url


def _path(path: Path) -> Path:
    if str(path).startswith("~"):
        raise ValueError("begins with ~, which only a shell replaces")
    return path


def _database_url(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("sqlite:///", "postgresql://", "postgres://")):
        raise ValueError("is no address of a database")
    return url


def _admin_password(password: SecretStr) -> SecretStr:
    if not 12 <= len(password.get_secret_value()) <= 1000:
        raise ValueError("is too short or too long")
    return password


def _storage_url(url: str) -> str:
    if not url.startswith(("file:///", "s3://")):
        raise ValueError("is no address of a storage")
    return url


def _tool_hosts(text: str) -> str:
    for host in _listed(text):
        _host(host)
    return text


def _tool_paths(text: str) -> str:
    if not all(_TOOL_PATH.fullmatch(path) for path in _listed(text)):
        raise ValueError("names something that is no module")
    return text


def _provider_names(text: str) -> str:
    names = _listed(text)
    if not all(_PROVIDER_NAME.fullmatch(name) for name in names):
        raise ValueError("names something that cannot be a provider")
    if len(set(names)) < len(names):
        raise ValueError("names one twice")
    return text


def _listed(text: str) -> list[str]:
    """What stands between commas."""
    return [each for each in (item.strip() for item in text.split(",")) if each]


def _variable(field: str) -> str:
    """The environment variable of a field."""
    return field.upper() if field.startswith(_NOT_OURS) else f"{PREFIX}{field.upper()}"


Text: TypeAlias = Annotated[str, Field(min_length=1)]
Secret: TypeAlias = Annotated[SecretStr, Field(min_length=1)]
"""Passed on as it is: no form is assumed, nothing is stripped."""

Patience: TypeAlias = Annotated[int, Field(ge=1, le=60)]
Trait: TypeAlias = Annotated[int, Field(ge=0, le=2_000)]
_TRAIT = Allowed("a whole number from 0 to 2000")

Bound: TypeAlias = Annotated[int, Field(ge=1, le=100_000)]
_BOUND = Allowed("a whole number from 1 to 100000")

_ANY = Allowed("any text")
_SECRET = Allowed("any text (secret)")
_HTTPS = Allowed("https://HOST[:PORT][/PATH][?QUERY]; http:// only for localhost, 127.0.0.1 or [::1]")
_PATH_ALLOWED = Allowed("a path, relative to the working directory or absolute")


class Settings(BaseModel):
    """
    The settings of a deployment. Its repr shows no secret.

    A field is set by the variable of its name in capitals, with PHONEBOT_ before it unless Twilio, OpenAI or Azure
    gave the variable its name. The docstrings of the fields are the text of docs/settings.md.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=_variable,
        protected_namespaces=(),  # pydantic would warn of fields that begin with model_
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    public_url: Annotated[
        Annotated[str, AfterValidator(_public_url)] | None,
        Allowed("https://HOST[:PORT][/PREFIX] without a query; http:// only for localhost, 127.0.0.1 or [::1]"),
    ] = None
    """Where Twilio reaches this service; its signatures are checked against it. Required without `--dev`."""

    host: Annotated[str, AfterValidator(_host), Allowed("a host name or an IP address")] = "127.0.0.1"
    """The address to listen on. With `--dev` only localhost, 127.0.0.1 or ::1."""

    port: Annotated[int, Field(ge=1, le=65_535), Allowed("a whole number from 1 to 65535")] = 8080
    """The TCP port to listen on."""

    drain_s: Annotated[float, Field(ge=0, le=86_400), Allowed("seconds, from 0 to 86400")] = 300
    """s that calls in progress have to end once a process is told to stop. Then they go on in another process, or
    the bot says goodbye, which takes at most 40 s more: what stops the process must wait that much longer."""

    secret_key: Annotated[Secret | None, _SECRET] = None
    """Signs the tokens that admit a media stream; the same for all processes. Required without `--dev`."""

    # Not Secret, for the same reason as the database's URL.
    admin_password: Annotated[
        Annotated[SecretStr, AfterValidator(_admin_password)] | None,
        Allowed("12 to 1000 characters (secret)"),
    ] = None
    """The password of the console's first user, `admin`. Not looked at once somebody can log in as an admin."""

    profiles: Annotated[Annotated[Path, AfterValidator(_path)] | None, _PATH_ALLOWED] = None
    """A TOML file of profiles, see profiles.md. What changed in it is taken into the database at each start."""

    data_dir: Annotated[Path, AfterValidator(_path), _PATH_ALLOWED] = Path("data")
    """Where data is kept, made when missing; call logs go to the folder `calls` in it."""

    # Not Secret, which is passed on as it is: this one is checked.
    database_url: Annotated[
        Annotated[SecretStr, Field(min_length=1), AfterValidator(_database_url)] | None,
        Allowed("sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME (secret)"),
    ] = None
    """The database, see store.md. Unset: SQLite in the file `phonebot.db` in the data folder."""

    storage_url: Annotated[
        Annotated[str, AfterValidator(_storage_url)] | None,
        Allowed("file:///PATH or s3://BUCKET[/PREFIX][?region=REGION&endpoint=URL]"),
    ] = None
    """Where the recordings of calls are kept, see store.md. Unset: in the folder `calls` in the data folder."""

    twilio_account_sid: Annotated[Text | None, _ANY] = None
    """Twilio's account. When set, requests of other accounts are refused."""

    twilio_auth_token: Annotated[Secret | None, _SECRET] = None
    """Checks that a request comes from Twilio. Required without `--dev`."""

    twilio_api_url: Annotated[
        Annotated[str, AfterValidator(_public_url)],
        Allowed("https://HOST[:PORT][/PREFIX] without a query; http:// only for localhost, 127.0.0.1 or [::1]"),
    ] = "https://api.twilio.com"
    """Where Twilio's REST API is found: another one for Twilio's regions, or for an emulator."""

    carrier_start_buffer_ms: Annotated[Trait | None, _TRAIT] = None
    """ms that audio waits at the carrier before it plays, if it meets an empty queue. See calibrate.md."""

    carrier_mark_lag_ms: Annotated[Trait, _TRAIT] = 0
    """ms between the end of audio and the echo of the mark behind it, at the least. See calibrate.md."""

    carrier_mark_spread_ms: Annotated[Trait, _TRAIT] = 0
    """ms by which that echo may be later still. See calibrate.md."""

    openai_api_key: Annotated[Secret | None, _SECRET] = None
    """The key for OpenAI's models."""

    azure_openai_endpoint: Annotated[
        Annotated[str, AfterValidator(_https_url)] | None,
        Allowed("https://HOST; http:// only for localhost, 127.0.0.1 or [::1]"),
    ] = None
    """An Azure OpenAI resource (`https://RESOURCE.openai.azure.com`). Needs its key or an Entra ID token."""

    azure_openai_api_key: Annotated[Secret | None, _SECRET] = None
    """The key of the Azure OpenAI resource."""

    azure_openai_ad_token: Annotated[Secret | None, _SECRET] = None
    """An Entra ID token for the Azure OpenAI resource, in place of its key. It lasts about an hour."""

    # Some gateways want their token in the query, hence repr=False.
    model_url: Annotated[
        Annotated[str, AfterValidator(_model_url)] | None,
        Allowed("wss://HOST[:PORT][/PATH][?QUERY], or the same with ws://, https:// or http://"),
    ] = Field(None, repr=False)
    """A model at an address of its own (a gateway, the embedded server). Overrides OpenAI's and Azure's."""

    model_token: Annotated[Secret | None, _SECRET] = Field(
        None, validation_alias=AliasChoices("PHONEBOT_MODEL_TOKEN", "OPENAI_API_KEY")
    )
    """The token for `PHONEBOT_MODEL_URL`. Unset: `OPENAI_API_KEY`; if that is unset too, none is sent."""

    model_auth: Annotated[
        Literal["bearer", "api-key", "query", "subprotocol"], Allowed("bearer, api-key, query or subprotocol")
    ] = "bearer"
    """How `PHONEBOT_MODEL_URL` is shown the token: in a header, in the query or as a WebSocket subprotocol."""

    model_dialect: Annotated[Literal["ga", "beta", "auto"], Allowed("ga, beta or auto")] = "auto"
    """The Realtime protocol's dialect at `PHONEBOT_MODEL_URL`; `auto` goes by the service's first message."""

    model_providers: Annotated[
        Annotated[str, AfterValidator(_provider_names)], Allowed("names of providers, separated by commas")
    ] = ""
    """Who is asked for a model, in this order, until one answers: names of tables `[provider.NAME]` in the file of
    profiles, see profiles.md; `openai`, `azure` and `gateway` are what the settings above say, where no table has
    the name. Unset: the one model of the settings."""

    model: Annotated[Text, _ANY] = "gpt-realtime-2.1"
    """The model for profiles that name none. On Azure the name of a deployment."""

    text_model: Annotated[Text | None, _ANY] = None
    """The model for what needs no speech: summaries, data, checks. Unset: `gpt-realtime-2.1-mini` at OpenAI, whose
    text costs a sixth to a tenth; elsewhere that of `PHONEBOT_MODEL`, for models have names of their own there."""

    tools: Annotated[
        Annotated[str, AfterValidator(_tool_paths)], Allowed("module or module:function, separated by commas")
    ] = ""
    """Python functions that profiles may let the model call, see tools.md: all of a module's, or one."""

    tool_hosts_allowed: Annotated[
        Annotated[str, AfterValidator(_tool_hosts)], Allowed("host names or IP addresses, separated by commas")
    ] = ""
    """Hosts that profiles may send requests to though they are in a private network, and over http://."""

    tool_error_formatter: Annotated[
        Annotated[str, AfterValidator(_tool_paths)] | None, Allowed("module:function")
    ] = None
    """Says what the model is told of a function that went wrong, see tools.md. Unset: built-in sentences."""

    hold_audio: Annotated[Annotated[Path, AfterValidator(_path)] | None, _PATH_ALLOWED] = None
    """A WAV file, 8 kHz mono of at most 30 s, which callers hear, over and over, while they are being connected.
    Unset: a melody."""

    clips: Annotated[Annotated[Path, AfterValidator(_path)] | None, _PATH_ALLOWED] = None
    """A folder of clips of the operator's own, which callers hear where the model cannot speak, see telephony.md.
    What is not in it, or if unset, comes with phonebot in nine languages."""

    log_level: Annotated[Literal["debug", "info", "warning", "error"], Allowed("debug, info, warning or error")] = (
        "info"
    )
    """From which level on the service's lines are logged."""

    log_format: Annotated[Literal["text", "json"], Allowed("text or json")] = "text"
    """How a line of the log looks: text for people, or a JSON object for who collects them, see observing.md."""

    log_personal_data: Annotated[bool, Allowed("true or false")] = False
    """Whether the log may hold numbers and words of callers, at the level `debug` alone. See security.md."""

    model_patience_s: Annotated[Patience, Allowed("a whole number from 1 to 60")] = 8
    """How many seconds a call waits for a model that is away, see reliability.md."""

    max_calls: Annotated[Bound | None, _BOUND] = 1_000
    """How many calls a process takes at the same time; one more hears that all lines are busy, see security.md."""

    max_calls_per_number: Annotated[Bound | None, _BOUND] = None
    """The same of each number that is called. Unset: any number."""

    max_calls_per_caller: Annotated[Bound | None, _BOUND] = None
    """The same of each caller who shows his number. Unset: any number."""

    max_new_calls_per_caller: Annotated[Bound | None, _BOUND] = None
    """How many new calls a process takes in a minute of each caller who shows his number. Unset: any number."""

    max_cost_per_day_usd: Annotated[
        Annotated[float, Field(gt=0, le=1_000_000)] | None, Allowed("US dollars, above 0 and at most 1000000")
    ] = None
    """What the models of all calls may cost on a day of UTC, see telephony.md. Unset: it is not limited."""

    prices: Annotated[Annotated[Path, AfterValidator(_path)] | None, _PATH_ALLOWED] = None
    """A TOML file of prices of your own, see cost.md: those of deployments on Azure, or behind a gateway. Unset:
    list prices alone."""

    alarm_url: Annotated[Annotated[str, AfterValidator(_https_url)] | None, _HTTPS] = None
    """Where alarms are sent to, see telephony.md. Unset: they are in the log alone."""

    alarm_sign_with: Annotated[
        Annotated[str, Field(pattern=r"^[A-Z0-9_]{1,64}$")] | None, Allowed("the NAME of a PHONEBOT_SECRET_NAME")
    ] = None
    """The secret that signs them, as the request after a call is signed. Unset: nothing does."""

    hooks: Annotated[
        Annotated[str, AfterValidator(_tool_paths)], Allowed("module or module:function, separated by commas")
    ] = ""
    """Python functions that are told what happens in calls, see hooks.md: all hooks of a module, or one."""

    # Of the variables PHONEBOT_SECRET_..., by what follows.
    _secrets: dict[str, SecretStr] = PrivateAttr(default_factory=dict)

    @property
    def secrets(self) -> dict[str, str]:
        """The values of PHONEBOT_SECRET_NAME, by NAME, which profiles may name. They are secret."""
        return {name: value.get_secret_value() for name, value in self._secrets.items()}

    @property
    def providers(self) -> list[str]:
        """The names of who is asked for a model; empty: there is one, which has none."""
        return _listed(self.model_providers)

    @property
    def has_model(self) -> bool:
        """Whether they say where a model is found."""
        return bool(self.providers or self.model_url or self.azure_openai_endpoint or self.openai_api_key)

    @property
    def tool_hosts(self) -> list[str]:
        return _listed(self.tool_hosts_allowed)

    @property
    def database(self) -> str:
        """The URL of the database, which may hold a password."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'phonebot.db'}"

    @property
    def storage(self) -> str:
        """The URL of the storage of recordings."""
        return self.storage_url or (self.data_dir.absolute() / "calls").as_uri()

    @property
    def audio(self) -> Path:
        """The folder of the recordings that stored profiles name."""
        return self.data_dir / "audio"

    def check_for_serving(self, dev: bool) -> None:
        """
        Raises SettingsError, with a sentence for each problem, unless the service can start with these settings.

        With `dev` nothing is required, but the service must not be reachable from outside this machine.
        """
        problems = list(self._development_problems() if dev else self._missing())
        problems.extend(self._azure_problems())
        if problems:
            raise SettingsError(*problems)

    def check_for_linking(self) -> tuple[str, str, str]:
        """The public URL, the account and its token. Raises SettingsError, a sentence for each that is missing."""
        account, token, missing = self.twilio_account_sid, self.twilio_auth_token, list[str]()
        if account is None:
            missing.append("TWILIO_ACCOUNT_SID is missing: copy the account SID from Twilio's console")
        if self.public_url is None or token is None:
            needed = ("PHONEBOT_PUBLIC_URL", "TWILIO_AUTH_TOKEN")
            missing.extend(problem for problem in self._missing() if problem.startswith(needed))
        if account is None or self.public_url is None or token is None:
            raise SettingsError(*missing)
        return self.public_url, account, token.get_secret_value()

    def check_for_calibrating(self) -> tuple[str, str]:
        """The public URL and the auth token. Raises SettingsError, with a sentence for each that is missing."""
        if self.public_url is None or self.twilio_auth_token is None:
            needed = ("PHONEBOT_PUBLIC_URL", "TWILIO_AUTH_TOKEN")
            raise SettingsError(*(problem for problem in self._missing() if problem.startswith(needed)))
        return self.public_url, self.twilio_auth_token.get_secret_value()

    def _development_problems(self) -> Iterator[str]:
        if self.host.lower() not in LOOPBACK_HOSTS:
            yield (
                "PHONEBOT_HOST must be localhost, 127.0.0.1 or ::1 with --dev, which checks no signatures: "
                "change it or serve without --dev"
            )

    def _missing(self) -> Iterator[str]:
        if self.public_url is None:
            yield (
                "PHONEBOT_PUBLIC_URL is missing: set it to the https:// address where Twilio reaches this service"
            )
        if self.secret_key is None:
            yield "PHONEBOT_SECRET_KEY is missing: set it to a long random text, the same for all processes"
        if self.twilio_auth_token is None:
            yield "TWILIO_AUTH_TOKEN is missing: copy the auth token from Twilio's console"
        if not self.has_model:
            yield (
                "no model is set: set OPENAI_API_KEY, or PHONEBOT_MODEL_URL (and PHONEBOT_MODEL_TOKEN if it wants "
                "one), or AZURE_OPENAI_ENDPOINT with AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN"
            )

    def _azure_problems(self) -> Iterator[str]:
        if self.model_url is not None or self.azure_openai_endpoint is None or self.providers:
            return
        match (self.azure_openai_api_key, self.azure_openai_ad_token):
            case (None, None):
                yield (
                    "AZURE_OPENAI_ENDPOINT is set without a key: "
                    "set AZURE_OPENAI_API_KEY or AZURE_OPENAI_AD_TOKEN, or unset the endpoint"
                )
            case (SecretStr(), SecretStr()):
                yield "AZURE_OPENAI_API_KEY and AZURE_OPENAI_AD_TOKEN are both set: unset one of them"


_FIELDS = {_variable(name): field for name, field in Settings.model_fields.items()}


@dataclass(frozen=True, slots=True)
class Survey:
    """
    The settings as far as they can be used, and what cannot: a sentence for each problem.

    `wrong`: the variables whose values are not taken. `given`: the names of all that are set, in `env_file` those
    in it.
    """

    settings: Settings
    problems: tuple[str, ...]
    wrong: frozenset[str]
    given: frozenset[str]
    in_file: frozenset[str]


def load(environ: Mapping[str, str] | None = None, env_file: str | Path | None = ".env") -> Settings:
    """
    The settings of `environ` (None: this process's environment) and of `env_file`, if there is such a file.

    The file has lines `NAME=value`, with or without quotes; values are taken as they are, `$` included. Raises
    SettingsError with one sentence for each setting: its name, what is wrong and what is allowed.
    """
    survey = look_through(environ, env_file)
    if survey.problems:
        raise SettingsError(*survey.problems)
    return survey.settings


def look_through(environ: Mapping[str, str] | None = None, env_file: str | Path | None = ".env") -> Survey:
    """The same as `load`, for who wants to know all that is wrong and goes on with the rest."""
    problems = list[str]()
    try:
        in_file = {} if env_file is None else _read_env_file(Path(env_file))
    except SettingsError as error:
        in_file, problems = {}, list(error.problems)
    in_environ = {name: value for name, value in (os.environ if environ is None else environ).items() if value}
    problems += [
        *(_unknown(name, "") for name in in_environ if _is_unknown(name)),
        *(_unknown(name, f" ({env_file})") for name in in_file if _is_unknown(name)),
    ]
    everything = {**in_file, **in_environ}
    given = {name: value for name, value in everything.items() if name in _FIELDS}
    wrong = set[str]()
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        # Each has the name of a variable in its place: Settings has no fields within fields.
        problems.extend(_sentence(str(fault["loc"][0]), fault) for fault in error.errors())
        wrong = {str(fault["loc"][0]) for fault in error.errors()}
        settings = Settings.model_validate({name: value for name, value in given.items() if name not in wrong})
    settings._secrets.update(
        (name.removeprefix(SECRET_PREFIX), SecretStr(value))
        for name, value in everything.items()
        if _is_secret(name)
    )
    ours = {name for name in everything if name in _FIELDS or _is_secret(name)}
    return Survey(settings, tuple(problems), frozenset(wrong), frozenset(ours), frozenset(in_file))


def _read_env_file(path: Path) -> dict[str, str]:
    """The variables of the file that are not empty. Without a file none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {_reason(error)}") from None
    values = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            # Blank lines before it belong to a binding. The line itself may hold a secret: it is not shown.
            blank = len(binding.original.string) - len(binding.original.string.lstrip())
            line = binding.original.line + binding.original.string.count("\n", 0, blank)
            raise SettingsError(f"{path}: line {line} cannot be read; it must be NAME=value")
        if binding.key and binding.value:
            values[binding.key] = binding.value
    return values


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8"


def _is_unknown(name: str) -> bool:
    # A name in lower case is another variable, and surely a slip.
    ours = name.upper().startswith(PREFIX)
    return ours and name not in _FIELDS and not _is_secret(name)


def _is_secret(name: str) -> bool:
    """Whether profiles may name it. The service's own secrets are settings, and none of these."""
    return bool(_SECRET_NAME.fullmatch(name)) and name not in _FIELDS


def _unknown(name: str, where: str) -> str:
    problem = f"{name} is not a setting{where}"
    if _KUBERNETES_LINK.fullmatch(name):
        return f"{problem} but a link to a Kubernetes service: set enableServiceLinks to false for the pod"
    # Without the prefix, which would make all of them look alike.
    known = {variable.removeprefix(PREFIX): variable for variable in _FIELDS if variable.startswith(PREFIX)}
    nearest = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1)
    if nearest:
        return f"{problem}: the nearest is {known[nearest[0]]}"
    return f"{problem}: `python -m phonebot.settings` lists them all"


def _sentence(name: str, fault: ErrorDetails) -> str:
    """What is wrong with a setting. Never shows a secret or a URL, which may hold one."""
    allowed = _allowed(name)
    if fault["type"] == "value_error":
        return f"{name} {fault['ctx']['error']}; it must be {allowed}"
    value = str(fault["input"])
    shown = value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}..."
    return f"{name} is {shown!r}; it must be {allowed}"


def _allowed(name: str) -> str:
    return next(mark.text for mark in _FIELDS[name].metadata if isinstance(mark, Allowed))


class Row(NamedTuple):
    """A setting as the documentation shows it. `default` is "" when there is none."""

    name: str
    allowed: str
    default: str
    meaning: str


def settings_table() -> list[Row]:
    """One row for each setting, in the order of the fields."""
    return [
        Row(
            name=name,
            allowed=_allowed(name),
            default="" if field.default is None else str(field.default),
            meaning=" ".join((field.description or "").split()),
        )
        for name, field in _FIELDS.items()
    ]


_PAGE = """\
# Settings

<!-- Made by `python -m phonebot.settings > docs/settings.md`: change phonebot/settings.py instead. -->

Settings come from the environment and from a file `.env` in the working directory; the environment wins. A variable
that is empty counts as unset. A variable that begins with `PHONEBOT_` and is not listed here is an error, and so is
a value that is not allowed: the program says which and stops.

The file has a line `NAME=value` for each. A value stands in single quotes if it begins or ends with a space or
holds a space followed by `#`, which would start a comment. Nothing is replaced in it: `$` has no meaning.

The model is that of the first of `PHONEBOT_MODEL_PROVIDERS` that answers; without that the one at
`PHONEBOT_MODEL_URL`, else the one at `AZURE_OPENAI_ENDPOINT`, else OpenAI's.

Variables `PHONEBOT_SECRET_NAME`, for any NAME of capitals, digits and `_` that is not in the table, hold what
profiles must not: keys of the services that their functions ask (see tools.md).

| Variable | Meaning | Default | Allowed |
|---|---|---|---|
"""


_PAGE_NAMED = re.compile(r"(?<![\w/])([a-z-]+\.md)")  # another page, which stands beside this one


def settings_page() -> str:
    """The page docs/settings.md."""
    rows = [
        f"| `{row.name}` | {row.meaning} | {f'`{row.default}`' if row.default else 'unset'} | {row.allowed} |\n"
        for row in settings_table()
    ]
    return _PAGE_NAMED.sub(r"[\1](\1)", _PAGE + "".join(rows))


if __name__ == "__main__":
    sys.stdout.write(settings_page())

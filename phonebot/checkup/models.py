"""The models: whether their services are reached, whether they grant a session, and whether prices are known."""

import asyncio
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from phonebot.checkup.check import Check, Probe
from phonebot.checkup.network import NETWORK, by_proxy, reason
from phonebot.errors import ModelError, ModelProtocolError, ModelUnreachable, SettingsError
from phonebot.realtime.connection import ModelConnection, connect
from phonebot.realtime.events import Session
from phonebot.realtime.failover import ATTEMPT_S
from phonebot.realtime.line import tls
from phonebot.realtime.prices import PriceTable
from phonebot.realtime.providers import Endpoint

SESSION_DEADLINE_S = 15.0

_REFUSED = "Check the key, the address, the model's name, and what the account may use."
_NOT_REALTIME = "Name an address that speaks the Realtime protocol, and its dialect."
_SLOW = "Calls wait as long for it: name a provider nearer by, or another one first."
_FORMAT = "Calls work, but each costs more CPU, since its audio is transcoded."


def model(endpoint: Callable[[], Endpoint], name: str = "Model") -> Probe:
    """Whether the service can be reached; not whether it takes the key. `endpoint` may raise SettingsError."""

    async def look() -> Check:
        try:
            found = endpoint()
        except SettingsError as error:
            return Check.of_problem(name, "; ".join(error.problems))
        parts = urlsplit(found.url)
        secure = parts.scheme == "wss"
        host, port = parts.hostname or "", parts.port or (443 if secure else 80)
        if by_proxy(host, secure):
            return Check(name, "ok", f"{found.name} at {host} is behind a proxy; open a session to try it")
        try:
            _, writer = await asyncio.open_connection(host, port, ssl=tls() if secure else None)
        except OSError as error:  # TLS errors are among these
            return Check(name, "failed", f"{host} cannot be reached: {reason(error)}", NETWORK)
        writer.close()
        return Check(name, "ok", f"{found.name} at {host} can be reached; open a session to try the key")

    return Probe(name, look)


def model_session(
    endpoint: Callable[[], Endpoint], session: Callable[[], Session], name: str = "Model session"
) -> Probe:
    """Opens a session as a call would, and closes it. It may cost as much as a session without audio does."""

    async def look() -> Check:
        started = time.perf_counter()
        try:
            wanted = session()
            connection = await connect(endpoint(), wanted, timeout_s=SESSION_DEADLINE_S - 3)
        except SettingsError as error:
            return Check.of_problem(name, "; ".join(error.problems))
        except ModelError as error:
            return Check(name, "failed", str(error), _remedy(error))
        took_s = time.perf_counter() - started
        check = _of_session(name, connection, wanted, took_s)
        await connection.close()
        return check

    return Probe(name, look, SESSION_DEADLINE_S)


def _remedy(error: ModelError) -> str:
    if isinstance(error, ModelUnreachable):
        return NETWORK
    return _NOT_REALTIME if isinstance(error, ModelProtocolError) else _REFUSED


def _of_session(name: str, connection: ModelConnection, wanted: Session, took_s: float) -> Check:
    speaks = wanted.modality != "text"
    formats = f", {connection.input_format} in, {connection.output_format} out" if speaks else ", text"
    told = f"opened in {took_s * 1000:.0f} ms: {connection.dialect}{formats}"
    if connection.left_out:
        unknown = ", ".join(connection.left_out)
        return Check(name, "warning", f"{told}; it does not know {unknown}", "Calls do without: see the profile.")
    if speaks and (wanted.input_format, wanted.output_format) != (
        connection.input_format,
        connection.output_format,
    ):
        return Check(name, "warning", f"{told}; {wanted.input_format} was asked for", _FORMAT)
    if took_s > ATTEMPT_S:
        return Check(name, "warning", told, _SLOW)
    return Check(name, "ok", told)


def of_prices(table: PriceTable, models: Sequence[str], capped: bool) -> Check:
    """Whether what calls of these models cost can be reckoned. `capped`: something limits that."""
    name = "Prices"
    unknown = [model for model in models if model not in table.models]
    if not unknown:
        return Check(name, "ok", f"known for {', '.join(models)}; list prices of {table.as_of}")
    told = f"not known for {', '.join(unknown)}: its calls have no cost"
    remedy = "Write its prices into a file, and name it by PHONEBOT_PRICES (docs/cost.md)."
    if capped:
        return Check(name, "failed", f"{told}, and no limit of it holds", remedy)
    return Check(name, "warning", told, remedy)

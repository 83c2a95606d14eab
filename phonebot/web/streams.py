"""
The server's side of a WebSocket: uvicorn's, with a short way for text messages.

    stream = Stream.of(scope)                 # None: another server runs the application
    stream.listen(heard)                      # heard(text) for each message, in the loop's turn in which it arrives
    stream.send_now(text)                     # without a task, and without waiting

An application that asks for nothing gets its messages as ever, by `receive`. That also tells one that listens of
the end, and gives it what the short way leaves to the library (frames.py).
"""

from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from phonebot.frames import WholeTexts, server_text

EXTENSION = "phonebot.stream"
FAILED = "phonebot.failed"
"""The type of a message that `receive` brings where a listener has failed: `error` is what it raised."""


class Stream(WebSocketsSansIOProtocol):
    """One connection. For uvicorn's option `ws`."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._listener: Callable[[str], None] | None = None
        # From the end of the handshake on. None: something came before that, so nobody knows where a frame begins.
        max_bytes = self.config.ws_max_size
        self._texts: WholeTexts | None = WholeTexts(
            self._came, super().data_received, masked=True, max_bytes=max_bytes
        )

    @staticmethod
    def of(scope: Scope) -> "Stream | None":
        return cast("Stream | None", scope.get("extensions", {}).get(EXTENSION))

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # else it was no handshake
            cast(dict[str, Any], self.scope["extensions"])[EXTENSION] = self

    async def send(self, message: Any) -> None:
        await super().send(message)
        # An answer in place of the handshake is its end, which uvicorn takes for a mistake of the application's.
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def data_received(self, data: bytes) -> None:
        if self._texts and self.handshake_complete:
            self._texts.receive(data)
            return
        if self.handshake_initiated:
            self._texts = None
        super().data_received(data)

    def _came(self, text: str) -> None:
        """A message. Past its own close an application hears nothing more."""
        if self.close_sent:
            return
        if self._listener is None or not self.queue.empty():
            self.queue.put_nowait({"type": "websocket.receive", "text": text})
            self._wait_for_reader()
            return
        try:
            self._listener(text)
        except Exception as error:  # of whoever listens: he is told where he waits for the end
            self._listener = None
            self.queue.put_nowait(cast(Any, {"type": FAILED, "error": error}))

    def _wait_for_reader(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def listen(self, heard: Callable[[str], None] | None) -> None:
        """
        From now on each message goes to `heard`; None: to `receive` again.

        What `receive` has yet to bring is brought by it, and comes before the rest.
        """
        self._listener = heard

    def send_now(self, text: str) -> bool:
        """Send without waiting. False, and nothing is sent, when that cannot be."""
        if not self.handshake_complete or self.close_sent or self.disconnected or not self.writable.is_set():
            return False
        if self.transport.is_closing():
            return False
        # Whole messages only: the library never has a fragmented one under way that this could come between.
        self.transport.write(server_text(text))
        return True

"""
The client's side of a WebSocket: the library's, with a short way for text messages.

    socket = await connect(url, create_connection=Socket)
    socket.listen(heard)                # heard(text) for each message, in the loop's turn in which it arrives

Until somebody listens, all messages come by `recv`. So does, later, what the short way leaves to the library
(frames.py), and the end.
"""

from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from phonebot.frames import WholeTexts

_END_OF_HEAD = b"\r\n\r\n"
_SWITCHING_PROTOCOLS = 101
MAX_TEXT_BYTES = 256 * 1024  # more than an event of the model's has but for an item that was asked for


class Socket(ClientConnection):
    """
    One connection. For the library's `create_connection`.

    `failure` is what a listener has raised: it hears nothing more, and the connection is dropped.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.failure: Exception | None = None
        self._listener: Callable[[str], None] | None = None
        self._texts: WholeTexts | None = None  # before the end of the handshake there are none
        # The last bytes of the answer's head so far, which may be the begin of its end; None: it has ended.
        self._head: bytes | None = b""

    def data_received(self, data: bytes) -> None:
        if self._texts:
            self._texts.receive(data)
        elif self._head is None:
            super().data_received(data)
        else:
            self._shake_hands(self._head, data)

    def _shake_hands(self, before: bytes, data: bytes) -> None:
        """Frames may come right behind the head of the answer, and any part of one."""
        end = (before + data).find(_END_OF_HEAD)
        if end < 0:
            self._head = (before + data)[-len(_END_OF_HEAD) + 1 :]
            super().data_received(data)
            return
        self._head = None
        behind = end + len(_END_OF_HEAD) - len(before)
        super().data_received(data[:behind])
        if self.response is not None and self.response.status_code == _SWITCHING_PROTOCOLS:
            library = super().data_received
            self._texts = WholeTexts(self._came, library, masked=False, max_bytes=MAX_TEXT_BYTES)
        if rest := data[behind:]:
            self.data_received(rest)

    def listen(self, heard: Callable[[str], None] | None) -> None:
        """From now on each message goes to `heard`, once `recv` has brought those before; None: to `recv` again."""
        self._listener = heard

    def _came(self, text: str) -> None:
        if self.failure or self.state is not State.OPEN:
            return  # it is over for us
        if self._listener is None or len(self.recv_messages.frames):
            self.recv_messages.put(Frame(Opcode.TEXT, text.encode()))
            return
        try:
            self._listener(text)
        except Exception as error:  # of whoever listens: he is told where he waits for the end
            self.failure, self._listener = error, None
            self.transport.abort()

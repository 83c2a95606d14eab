"""All that a process needs to make calls, put together."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from phonebot.caps.watch import DayCaps
from phonebot.carrier.account import CarrierAccount
from phonebot.outbound.dialler import Dialler
from phonebot.outbound.opting_out import OptOut, OptOutBook
from phonebot.outbound.orders import Orders
from phonebot.outbound.progress import Progress
from phonebot.store.store import Store
from phonebot.web.board import Board
from phonebot.web.live import LiveCalls
from phonebot.web.metrics import Metrics
from phonebot.web.outgoing import Outgoing
from phonebot.web.profiles import Answering


@dataclass(frozen=True, slots=True)
class CallingOut:
    """`dialler` None: there is no account at the carrier, so that nobody is called."""

    outgoing: Outgoing
    orders: Orders
    opt_out: OptOut
    dialler: Dialler | None
    metrics: Metrics

    @classmethod
    def of(
        cls,
        store: Store,
        account: CarrierAccount | None,
        numbers: Answering,
        live: LiveCalls,
        board: Board,
        metrics: Metrics,
        *,
        public_url: str,
        data_dir: Path,
        process: str,
        caps: DayCaps,
    ) -> Self:
        """`account` is the caller's to open, before this runs."""
        progress = Progress(
            store.outbound, numbers.profile_for, lambda result: metrics.outbound_attempts.labels(result).inc()
        )
        opt_outs = OptOutBook(store.opt_outs, data_dir / "opt-outs")
        dialler = None
        if account is not None:
            dialler = Dialler(
                store.outbound,
                progress,
                account,
                numbers.profile_for,
                public_url=public_url,
                who=process,
                may_dial=lambda: not (live.draining or caps.is_spent),
                before=opt_outs.file,
            )
        orders = Orders(store.outbound, dialler, has_account=account is not None)
        return cls(Outgoing(store.outbound, progress, board), orders, OptOut(opt_outs), dialler, metrics)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Calls are made while the block runs."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.outgoing)
            if dialler := self.dialler:
                self.metrics.outbound_waiting.set_function(lambda: dialler.waiting)
                await stack.enter_async_context(dialler)
            yield

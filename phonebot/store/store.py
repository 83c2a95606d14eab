"""All that a deployment keeps, opened together."""

from dataclasses import dataclass

from phonebot.store.admissions import AdmissionStore
from phonebot.store.after import AfterStore
from phonebot.store.calls import CallStore
from phonebot.store.continuations import ContinuationStore
from phonebot.store.database import Database
from phonebot.store.greetings import GreetingStore
from phonebot.store.live import LiveStore
from phonebot.store.messages import MessageStore
from phonebot.store.numbers import NumberStore
from phonebot.store.opt_outs import OptOutStore
from phonebot.store.outbound import OutboundStore
from phonebot.store.recordings import Recordings
from phonebot.store.sessions import SessionStore
from phonebot.store.spending import SpendingStore
from phonebot.store.tokens import TokenStore
from phonebot.store.users import UserStore


@dataclass(frozen=True, slots=True)
class Store:
    """
    The database, the files of calls, and what is known of numbers, of calls and of those who may do what.

    `calls` are those that have ended, `after` is what is to be done after them, `live` are those in progress,
    `messages` what callers left, `outbound` calls that we make, `opt_outs` the numbers that are not called,
    `spending` what calls cost in a day, `admissions` which tokens have opened a stream, `greetings` how the model
    began calls.
    """

    database: Database
    numbers: NumberStore
    calls: CallStore
    after: AfterStore
    live: LiveStore
    messages: MessageStore
    outbound: OutboundStore
    opt_outs: OptOutStore
    continuations: ContinuationStore
    admissions: AdmissionStore
    spending: SpendingStore
    greetings: GreetingStore
    users: UserStore
    sessions: SessionStore
    tokens: TokenStore
    recordings: Recordings

    @classmethod
    async def open(cls, database_url: str, storage_url: str) -> "Store":
        """
        The store at these addresses, with the tables that this version needs. To be closed afterwards.

        Raises StoreError with a sentence and its remedy.
        """
        database, recordings = Database(database_url), Recordings(storage_url)
        await database.upgrade()
        return cls.of(database, recordings)

    @classmethod
    def of(
        cls,
        database: Database,
        recordings: Recordings,
        users: UserStore | None = None,
        sessions: SessionStore | None = None,
    ) -> "Store":
        """The store of a database that has its tables. `users` and `sessions` are others than usual: in tests."""
        return cls(
            database,
            NumberStore(database),
            CallStore(database),
            AfterStore(database),
            LiveStore(database),
            MessageStore(database),
            OutboundStore(database),
            OptOutStore(database),
            ContinuationStore(database),
            AdmissionStore(database),
            SpendingStore(database),
            GreetingStore(database),
            users or UserStore(database),
            sessions or SessionStore(database),
            TokenStore(database),
            recordings,
        )

    async def close(self) -> None:
        """Nothing can be asked of it afterwards."""
        self.recordings.close()
        await self.database.close()

"""What the event log must keep: events of replies whose text still grows."""

from interlock.conversations.repository.messages import MessageRepository
from interlock.events.retention import Unfinished, UnfinishedWork
from interlock.storage.engine import Database

__all__ = ["unfinished_streams"]


def unfinished_streams(database: Database) -> UnfinishedWork:
    """Tells the keys of such events whenever the log is pruned."""

    async def look() -> Unfinished:
        async with database.read() as connection:
            found = await MessageRepository(connection).streaming()
        return Unfinished(keys=frozenset(f"delta:{one}" for one in found))

    return look

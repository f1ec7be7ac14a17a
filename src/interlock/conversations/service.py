"""Making, listing, changing and deleting conversations."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from interlock.conversations.announcing import (
    conversation_stream,
    created,
    joined,
    left,
    membership_changed,
    updated,
    user_stream,
)
from interlock.conversations.errors import ForbiddenError, InvalidFieldError, NotFoundError
from interlock.conversations.model import (
    AssistantMode,
    ContextMode,
    Conversation,
    Member,
    MemberRole,
    Message,
    ThreadSummary,
)
from interlock.conversations.permissions import Action
from interlock.conversations.spine import Entered, Spine, Work, clean_title, user_of
from interlock.conversations.views import conversation_view, participant_view
from interlock.identity.context import Context
from interlock.kernel.ids import new_uuid

__all__ = ["Conversations", "Detail", "NewConversation", "view_of", "views_of"]

_SYSTEM_CHARS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConversation:
    """What a conversation is to be."""

    title: str
    is_group: bool = False
    participants: tuple[tuple[str, MemberRole], ...] = ()
    assistant_mode: AssistantMode | None = None
    context_mode: ContextMode = "thread"
    model: str | None = None
    system_prompt: str | None = None
    default_agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """A conversation opened."""

    view: Mapping[str, Any]
    threads: Sequence[ThreadSummary]
    messages: Sequence[Message]
    has_more: bool


class Conversations:
    """Use cases of conversations as a whole."""

    def __init__(self, spine: Spine) -> None:
        self._spine = spine

    async def create(self, ctx: Context, new: NewConversation) -> Mapping[str, Any]:
        """Makes a conversation owned by the caller; its view.

        Raises: InvalidFieldError, NotFoundError for an unknown participant, ForbiddenError.
        """
        return (await self.create_once(ctx, new, None))[0]

    async def create_once(
        self, ctx: Context, new: NewConversation, key: str | None
    ) -> tuple[Mapping[str, Any], bool]:
        """The same for a request that may be repeated; whether this is a repeat."""

        async def do(work: Work) -> Mapping[str, Any]:
            return await view_of(self._spine, work, await self.make(work, ctx, new))

        return await self._spine.once(ctx, key, {"what": "conversation", **asdict(new)}, do)

    async def make(self, work: Work, ctx: Context, new: NewConversation) -> Entered:
        """Makes a conversation in the caller's transaction."""
        user_id = user_of(ctx)
        if ctx.global_role == "read_only":
            raise ForbiddenError("your role does not allow this")
        now = self._spine.now()
        conversation = Conversation(
            id=new_uuid(),
            account_id=ctx.account_id,
            title=clean_title(new.title),
            is_group=new.is_group,
            created_by=user_id,
            created_at=now,
            updated_at=now,
            last_activity_at=now,
            archived_at=None,
            assistant_mode=new.assistant_mode or ("auto" if new.is_group else "always"),
            context_mode=new.context_mode,
            default_agent=new.default_agent or "assistant",
            model=new.model,
            system_prompt=_prompt(new.system_prompt),
            last_seq=0,
        )
        await work.conversations.add(conversation)
        owner = _member(conversation, user_id, "user", "owner")
        await work.conversations.add_member(owner)
        await self._spine.log.append(
            work.connection, conversation_stream(conversation.id), [created(conversation.id)]
        )
        await self._spine.log.append(
            work.connection, user_stream(user_id), [joined(conversation.id)]
        )
        for other, role in dict(new.participants).items():
            if other != user_id:
                await self._let_in(work, conversation, other, role)
        return Entered(conversation=conversation, member=owner)

    async def listed(
        self,
        ctx: Context,
        *,
        title: str | None,
        archived: bool | None,
        below: tuple[float, str] | None,
        limit: int,
    ) -> tuple[list[Mapping[str, Any]], tuple[float, str] | None]:
        """The caller's conversations, newest activity first, and where the next page begins."""
        user_id = user_of(ctx)
        async with self._spine.database.read() as connection:
            work = Work(connection)
            found = await work.conversations.of_user(
                user_id, title=title, archived=archived, below=below, limit=limit + 1
            )
            shown = found[:limit]
            views = await views_of(work, user_id, shown)
        rest = len(found) > limit
        last = (shown[-1].last_activity_at, shown[-1].id) if rest else None
        return views, last

    async def detail(
        self,
        ctx: Context,
        conversation_id: str,
        *,
        before: str | None,
        after: str | None,
        root_id: str | None,
        limit: int,
    ) -> Detail:
        """A conversation with its threads and a page of its messages."""
        async with self._spine.database.read() as connection:
            work = Work(connection)
            entered = await work.enter(ctx, conversation_id, Action.READ)
            found = await work.messages.listed(
                conversation_id,
                root_id=root_id,
                before=await _seq(work, conversation_id, "before", before),
                after=await _seq(work, conversation_id, "after", after),
                limit=limit + 1,
            )
            more = len(found) > limit
            # A page below a place loses its oldest entry, a page above one its newest.
            shown = found[:limit] if after is not None else found[-limit:]
            return Detail(
                view=await view_of(self._spine, work, entered),
                threads=await work.messages.summaries(conversation_id, limit=50),
                messages=shown,
                has_more=more,
            )

    async def change(
        self, ctx: Context, conversation_id: str, values: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Changes settings; `archived` true or false puts it away or back."""
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            entered = await work.enter(ctx, conversation_id, Action.MANAGE)
            now = self._spine.now()
            changed = {k: v for k, v in values.items() if k != "archived"}
            if "title" in changed:
                changed["title"] = clean_title(str(changed["title"]))
            if "system_prompt" in changed:
                changed["system_prompt"] = _prompt(changed["system_prompt"])
            told = dict(changed)
            if "archived" in values:
                told["archived"] = bool(values["archived"])
                kept = entered.conversation.archived_at or now
                changed["archived_at"] = kept if values["archived"] else None
            if changed:
                told.pop("system_prompt", None)
                await work.conversations.change(conversation_id, changed | {"updated_at": now})
                await self._spine.log.append(
                    connection,
                    conversation_stream(conversation_id),
                    [updated(conversation_id, told)],
                )
            entered = await work.enter(ctx, conversation_id, Action.MANAGE)
            return await view_of(self._spine, work, entered)

    async def delete(self, ctx: Context, conversation_id: str) -> None:
        """Deletes a conversation and everything in it; its readers are told to stop."""
        async with self._spine.database.transaction() as connection:
            work = Work(connection)
            await work.enter(ctx, conversation_id, Action.DELETE)
            for member in await work.conversations.members([conversation_id]):
                if member.kind == "user":
                    await self._spine.log.append(
                        connection, user_stream(member.user_id), [left(conversation_id)]
                    )
            await work.conversations.remove(conversation_id)
            await self._spine.log.forget(connection, conversation_stream(conversation_id))

    async def _let_in(
        self, work: Work, conversation: Conversation, user_id: str, role: MemberRole
    ) -> None:
        kind = await kind_of(self._spine, work, user_id)
        await work.conversations.add_member(_member(conversation, user_id, kind, role))
        await self._spine.log.append(
            work.connection,
            conversation_stream(conversation.id),
            [membership_changed(conversation.id, user_id, role, "added")],
        )
        if kind == "user":
            await self._spine.log.append(
                work.connection, user_stream(user_id), [joined(conversation.id)]
            )


async def kind_of(spine: Spine, work: Work, user_id: str) -> Literal["user", "agent"]:
    """`user` or `agent`. Raises NotFoundError for an id that is neither."""
    if user_id in await spine.directory.people(work.connection, [user_id]):
        return "user"
    if user_id in await spine.agents.known(work.connection, [user_id]):
        return "agent"
    raise NotFoundError("user", user_id)


async def view_of(spine: Spine, work: Work, entered: Entered) -> Mapping[str, Any]:
    """A conversation with its participants, as the member sees it."""
    conversation, member = entered.conversation, entered.member
    members = await work.conversations.members([conversation.id])
    participants = await participants_of(spine, work, members)
    counts = await work.conversations.counts([conversation.id])
    unread = await work.attendance.unread_totals([conversation.id], member.user_id)
    return conversation_view(
        conversation,
        my_role=member.role,
        member_ids=[one.user_id for one in members],
        counts=counts.get(conversation.id, (0, 0)),
        unread=unread.get(conversation.id, 0),
        participants=participants,
    )


async def participants_of(
    spine: Spine, work: Work, members: Sequence[Member]
) -> list[dict[str, Any]]:
    """Participant views of members."""
    ids = [one.user_id for one in members]
    people = await spine.directory.people(work.connection, ids)
    agents = await spine.agents.known(
        work.connection, [one.user_id for one in members if one.kind == "agent"]
    )
    presences = await work.attendance.presence(ids)
    return [
        participant_view(
            one, people.get(one.user_id) or agents.get(one.user_id), presences.get(one.user_id)
        )
        for one in members
    ]


async def views_of(
    work: Work, user_id: str, found: Sequence[Conversation]
) -> list[Mapping[str, Any]]:
    """Several conversations without their participants."""
    ids = [one.id for one in found]
    counts = await work.conversations.counts(ids)
    unread = await work.attendance.unread_totals(ids, user_id)
    members: dict[str, list[Member]] = {one: [] for one in ids}
    for member in await work.conversations.members(ids):
        members[member.conversation_id].append(member)
    return [
        conversation_view(
            one,
            my_role=next(m.role for m in members[one.id] if m.user_id == user_id),
            member_ids=[m.user_id for m in members[one.id]],
            counts=counts.get(one.id, (0, 0)),
            unread=unread.get(one.id, 0),
        )
        for one in found
    ]


async def _seq(work: Work, conversation_id: str, field: str, message_id: str | None) -> int | None:
    if message_id is None:
        return None
    message = await work.messages.find(message_id)
    if message is None or message.conversation_id != conversation_id:
        raise InvalidFieldError(field, "names no message of this conversation")
    return message.seq


def _member(
    conversation: Conversation, user_id: str, kind: Literal["user", "agent"], role: MemberRole
) -> Member:
    return Member(
        conversation_id=conversation.id,
        user_id=user_id,
        kind=kind,
        role=role,
        joined_at=conversation.created_at,
        joined_seq=0,
    )


def _prompt(text: object) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > _SYSTEM_CHARS or "\x00" in text:
        raise InvalidFieldError(
            "system_prompt", f"must be text of at most {_SYSTEM_CHARS} characters"
        )
    return text.strip() or None

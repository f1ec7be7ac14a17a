"""The assistant, model aliases and the people of the identity tables."""

import pytest
from tests.support.talk_site import context

from interlock.conversations.agents import ModelAgents
from interlock.conversations.directory import PeopleDirectory
from interlock.identity.tables import users
from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio


async def test_aliases_become_handles_and_keep_their_ids(database: Database) -> None:
    agents = ModelAgents(
        default_model=lambda: "big", aliases=lambda: ("Fast Model!", "assistant", "???", "all")
    )
    async with database.read() as connection:
        found = await agents.usable(connection, context("ann"))
        again = await agents.known(connection, [one.id for one in found])

    assert [(one.handle, one.model) for one in found] == [
        ("assistant", "big"),
        ("fast-model", "Fast Model!"),
    ]
    assert list(again.values()) == list(found)


async def test_people_are_found_unless_they_are_switched_off(database: Database) -> None:
    async with database.transaction() as connection:
        for number, (name, off) in enumerate((("Ann", None), ("bob_b", None), ("cy", 5.0))):
            await connection.execute(
                users.insert().values(
                    id=f"id{number}",
                    email=f"{name}@example.com",
                    display_name=f"{name} Smith",
                    created_at=1.0,
                    disabled_at=off,
                    username=name,
                    username_key=name.casefold(),
                    global_role="member",
                )
            )
    directory = PeopleDirectory()
    async with database.read() as connection:
        known = await directory.people(connection, ["id0", "id2", "no"])
        named = await directory.named(connection, ["ann", "cy"])
        searched = await directory.search(connection, "smith", among=None, limit=9)
        among = await directory.search(connection, "", among=["id1"], limit=9)
        literal = await directory.search(connection, "b_b", among=None, limit=9)

    assert set(known) == {"id0"}
    assert {key: one.username for key, one in named.items()} == {"ann": "Ann"}
    assert [one.id for one in searched] == ["id0", "id1"]
    assert [one.id for one in among] == [one.id for one in literal] == ["id1"]

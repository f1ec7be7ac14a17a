"""Fixtures of conversations."""

import pytest
from tests.support.talk_site import TalkSite

from interlock.storage.engine import Database

pytestmark = pytest.mark.anyio


@pytest.fixture
def site(database: Database) -> TalkSite:
    """Conversations on each kind of database."""
    return TalkSite(database)

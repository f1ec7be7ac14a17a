"""The policy store on both databases."""

from pathlib import Path

import pytest
from tests.support.policy_site import PolicySite

from interlock.storage.engine import Database


@pytest.fixture
async def site(database: Database, tmp_path: Path) -> PolicySite:
    return PolicySite(database, tmp_path / "spool")

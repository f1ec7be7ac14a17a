"""One gateway for all contract tests of the control surface; starting one costs a second."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tests.support.control_site import Site, running_site
from tests.support.dialogue import STYLES, Dialogue, Style

Talk = Callable[..., Dialogue]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for the whole session, because the server lives in it."""
    return "asyncio"


@pytest.fixture(scope="session")
async def site(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """A gateway in front of a recording demo model under every published provider's name."""
    async with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(params=STYLES, ids=lambda style: f"{style[0]}-{'stream' if style[1] else 'whole'}")
def style(request: pytest.FixtureRequest) -> Style:
    """A wire format, streamed or not."""
    found: Style = request.param
    return found


@pytest.fixture
def talk(site: Site, style: Style) -> Talk:
    """Makes dialogues in the style under test; use them as async context managers."""

    def make(**given: Any) -> Dialogue:
        return Dialogue(**{"base_url": site.base_url, "key": site.key, "style": style, **given})

    return make

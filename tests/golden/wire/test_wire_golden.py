"""Rich requests of each format and what they become in the others.

`FORMAT.request.json` is what a client sends; `FORMAT.to.FORMAT.json` holds the body
that goes upstream and the members that could not be carried.
"""

import json
from pathlib import Path

import pytest
from tests.support.wire_exchanges import PAIRS, sent

from interlock.providers.wire.exchange import FormatName

HERE = Path(__file__).parent


@pytest.mark.parametrize(("client", "upstream"), PAIRS, ids=lambda v: v)
def test_a_rich_request_becomes_what_was_reviewed(client: FormatName, upstream: FormatName) -> None:
    body = json.loads((HERE / f"{client}.request.json").read_text())
    expected = json.loads((HERE / f"{client}.to.{upstream}.json").read_text())
    body_up, dropped = sent(client, upstream, body)

    assert body_up == expected["sent"]
    assert dropped == expected["dropped"]

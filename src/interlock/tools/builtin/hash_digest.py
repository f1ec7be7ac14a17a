"""Digests of a text."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from interlock.tools.model import Example, Tool, schema

__all__ = ["TOOL"]

_ALGORITHMS: Final = ("sha256", "sha512", "sha3_256", "blake2b", "sha1", "md5")


def _run(arguments: Mapping[str, Any]) -> dict[str, Any]:
    data = arguments["text"].encode("utf-8", "surrogatepass")
    algorithm = arguments.get("algorithm", "sha256")
    found = hashlib.new(algorithm, data, usedforsecurity=False)
    return {"algorithm": algorithm, "hex": found.hexdigest()}


TOOL = Tool(
    name="hash_digest",
    title="Digest",
    description="The digest of a text (UTF-8) in hexadecimal. sha1 and md5 are for comparing "
    "with old records, not for security.",
    category="encoding",
    input_schema=schema(
        ("text",), text={"type": "string", "maxLength": 200_000}, algorithm={"enum": [*_ALGORITHMS]}
    ),
    output_schema=schema(algorithm={"type": "string"}, hex={"type": "string"}),
    examples=(
        Example(
            arguments={"text": "abc"},
            output={
                "algorithm": "sha256",
                "hex": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            },
        ),
    ),
    run=_run,
)

"""What a schema finds wrong, in the words of this surface: `field.path: message`, no values."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

__all__ = ["LISTED", "MAX_PATH_CHARS", "Problem", "problems", "shown"]

LISTED: Final = 100
"""Problems an error object lists; a message shows fewer."""
MAX_PATH_CHARS: Final = 120
_SHOWN: Final = 5
_MAX_CHARS: Final = 300


class Problem(NamedTuple):
    """One problem: where, and the whole text."""

    path: str
    text: str


def problems(error: ValidationError) -> list[Problem]:
    """Every problem, in the order of the schema."""
    return [_problem(item) for item in error.errors(include_url=False, include_input=False)]


def shown(found: Sequence[Problem]) -> str:
    """The first of them in one line."""
    text = "; ".join(item.text for item in found[:_SHOWN])
    more = len(found) - _SHOWN
    return f"{text} (and {more} more)" if more > 0 else text


def _problem(item: ErrorDetails) -> Problem:
    path = ".".join(str(part) for part in item["loc"])
    if len(path) > MAX_PATH_CHARS:
        path = path[:MAX_PATH_CHARS] + "..."
    match item["type"]:
        case "model_type" | "dict_type":
            message = "Input should be a valid object"
        case "value_error":
            message = item["msg"].removeprefix("Value error, ")
        case _:
            message = item["msg"]
    return Problem(path, f"{path}: {message}"[:_MAX_CHARS])

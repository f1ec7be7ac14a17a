"""Reading request bodies: members of the right type, or the error a provider would give."""

from typing import Any, TypeVar, cast

import msgspec

__all__ = ["BadRequestError", "decoded", "model", "optional", "present", "rows"]

_T = TypeVar("_T")


class BadRequestError(Exception):
    """The body is not a request of this API; becomes a 400 in the API's own shape."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


def decoded(body: bytes) -> dict[str, Any]:
    """The JSON object of a body."""
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequestError("We could not parse the JSON body of your request.") from None
    if not isinstance(tree, dict):
        raise BadRequestError("The body of your request must be a JSON object.")
    return tree


def optional(tree: dict[str, Any], name: str, kind: type[_T], where: str = "") -> _T | None:
    """A member of one type (an int is a float); None when absent or null."""
    value = tree.get(name)
    if value is None:
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return cast("_T", float(value))
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        path = f"{where}{name}"
        raise BadRequestError(f"Invalid type for '{path}': expected {kind.__name__}.", path)
    return value


def present(tree: dict[str, Any], name: str, kind: type[_T], where: str = "") -> _T:
    """A member that must be there."""
    value = optional(tree, name, kind, where)
    if value is None:
        path = f"{where}{name}"
        raise BadRequestError(f"Missing required parameter: '{path}'.", path)
    return value


def rows(value: object, where: str) -> list[dict[str, Any]]:
    """A list of objects; None counts as an empty one."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadRequestError(f"Invalid type for '{where}': expected an array of objects.", where)
    return value


def model(tree: dict[str, Any]) -> str:
    """The model name, which every request carries."""
    name = optional(tree, "model", str)
    if not name:
        raise BadRequestError("you must provide a model parameter", "model")
    return name

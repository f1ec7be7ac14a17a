"""Policies that come with Interlock, by name.

The texts are data of the package `interlock.policy.shipped`. In settings and on the command
line one is named `shipped:NAME` where a file of one's own would be given.
"""

from importlib import resources
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError
from interlock.policy.model import PolicySource

__all__ = ["SHIPPED", "UnknownShippedPolicyError", "shipped_names", "shipped_policy"]

SHIPPED = "shipped:"
"""What a name begins with where a path could stand too."""
_SUFFIX = ".sqrt"


class UnknownShippedPolicyError(InterlockError):
    """Raised for a name under which no policy is shipped."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "unknown_shipped_policy"

    def __init__(self, name: str) -> None:
        known = ", ".join(shipped_names())
        super().__init__(f"no policy `{name}` is shipped", hint=f"there are {known}")


def shipped_names() -> list[str]:
    """Names of all policies that are shipped, sorted."""
    texts = resources.files("interlock.policy") / "shipped"
    return sorted(
        item.name.removesuffix(_SUFFIX) for item in texts.iterdir() if item.name.endswith(_SUFFIX)
    )


def shipped_policy(name: str) -> PolicySource:
    """The policy of that name, with or without `shipped:` before it.

    Raises:
        UnknownShippedPolicyError: there is none.
    """
    bare = name.removeprefix(SHIPPED)
    if bare not in shipped_names():
        raise UnknownShippedPolicyError(bare)
    text = (resources.files("interlock.policy") / "shipped" / f"{bare}{_SUFFIX}").read_text("utf-8")
    return PolicySource(name=f"{SHIPPED}{bare}", text=text)

"""What can be wrong when policies are kept, tested, activated and bound."""

from collections.abc import Sequence
from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = [
    "ActivationRefusedError",
    "BindingNotFoundError",
    "InvalidPolicyError",
    "PolicyNotFoundError",
    "PolicyStateError",
    "PolicyTestNotFoundError",
    "VersionNotFoundError",
]


class InvalidPolicyError(InterlockError):
    """Raised for a name, text, note or binding that cannot be stored."""

    kind: ClassVar[ErrorKind] = ErrorKind.INVALID
    code: ClassVar[str] = "invalid_policy"


class PolicyNotFoundError(InterlockError):
    """Raised for an unknown policy, or one of another account."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "policy_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"no policy `{name[:100]}`", hint="`interlock policy list` shows them")


class VersionNotFoundError(InterlockError):
    """Raised for a version a policy does not have."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "policy_version_not_found"

    def __init__(self, name: str, n: int | None) -> None:
        what = "no version yet" if n is None else f"no version {n}"
        super().__init__(f"policy `{name}` has {what}")


class PolicyTestNotFoundError(InterlockError):
    """Raised for a test a policy does not have."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "policy_test_not_found"

    def __init__(self, name: str, test: str) -> None:
        super().__init__(f"policy `{name}` has no test `{test}`")


class BindingNotFoundError(InterlockError):
    """Raised for a binding that does not exist."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "binding_not_found"

    def __init__(self, name: str, where: str) -> None:
        super().__init__(
            f"policy `{name}` is not bound to {where}", hint="`interlock policy bindings` lists"
        )


class PolicyStateError(InterlockError):
    """Raised for a change the state of a policy does not allow."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "policy_state"


class ActivationRefusedError(InterlockError):
    """Raised when a version or a binding may not take effect; lists every reason."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "activation_refused"

    def __init__(self, what: str, problems: Sequence[str]) -> None:
        super().__init__(f"{what} is refused: {problems[0]}")
        self.problems = (f"{what} is refused:", *problems)

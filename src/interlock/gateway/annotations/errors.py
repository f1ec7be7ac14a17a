"""What can be wrong with annotations."""

from typing import ClassVar

from interlock.kernel.errors import ErrorKind, InterlockError

__all__ = ["AnnotationNotFoundError", "AnnotationTooLargeError", "TooManyAnnotationsError"]


class AnnotationNotFoundError(InterlockError):
    """Raised for an annotation the session does not have."""

    kind: ClassVar[ErrorKind] = ErrorKind.NOT_FOUND
    code: ClassVar[str] = "annotation_not_found"

    def __init__(self, annotation_id: str) -> None:
        super().__init__(f"no annotation `{annotation_id[:100]}` on this session")


class AnnotationTooLargeError(InterlockError):
    """Raised when the free parts of an annotation are larger than is kept."""

    kind: ClassVar[ErrorKind] = ErrorKind.TOO_LARGE
    code: ClassVar[str] = "request_too_large"

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(
            f"`outcome_logs` and `metadata` have {size} bytes as JSON, at most {limit} are kept",
            param="outcome_logs",
        )


class TooManyAnnotationsError(InterlockError):
    """Raised when a session has as many annotations as are kept, in number or in bytes."""

    kind: ClassVar[ErrorKind] = ErrorKind.CONFLICT
    code: ClassVar[str] = "too_many_annotations"

    def __init__(self, limit: int, limit_bytes: int) -> None:
        super().__init__(
            f"a session keeps at most {limit} annotations of {limit_bytes} bytes altogether",
            hint="delete some that are no longer needed",
        )

"""Which labels a program may branch on (11.10)."""

from typing import Protocol

from interlock.policy.model import Labels, LabelSet

__all__ = ["BranchRules", "branch_violation"]


class BranchRules(Protocol):
    """The branching policy of a session; empty sets leave a dimension unconstrained."""

    @property
    def mode(self) -> str:
        """`deny` or `allow`."""
        ...

    @property
    def producers(self) -> frozenset[str]:
        """Listed producers."""
        ...

    @property
    def tags(self) -> frozenset[str]:
        """Listed tags."""
        ...

    @property
    def consumers(self) -> frozenset[str]:
        """Listed consumers."""
        ...


def branch_violation(labels: Labels, rules: BranchRules) -> str | None:
    """Why a condition with these labels may not decide a branch, or None.

    Universal consumers never violate. Any other set that is not finite is in
    no list of allowed labels, and overlaps a list of denied ones unless it
    leaves out all of them.
    """
    for field, listed in (
        ("tags", rules.tags),
        ("producers", rules.producers),
        ("consumers", rules.consumers),
    ):
        held: LabelSet = getattr(labels, field)
        if not listed or (field == "consumers" and held.is_universal):
            continue
        wanted = LabelSet(listed)
        if rules.mode == "allow":
            if not held.subset(wanted):
                extra = ", ".join(held.minus(wanted).to_wire())
                return f"the condition has {field} that are not allowed: {extra}"
        elif held.overlaps(wanted):
            found = ", ".join(held.intersect(wanted).to_wire())
            return f"the condition has denied {field}: {found}"
    return None

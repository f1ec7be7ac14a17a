"""A policy store on a real database, with users, keys and recorded calls."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.records import make_decision

from interlock.gateway.history import History
from interlock.gateway.pin_review import PinReview
from interlock.gateway.policies.activation import Activations
from interlock.gateway.policies.binding import Bindings
from interlock.gateway.policies.bound import StoredPolicies
from interlock.gateway.policies.replaying import Replays
from interlock.gateway.policies.service import PolicyStore
from interlock.gateway.recorder import BatchRecorder
from interlock.gateway.records import DecisionRecord
from interlock.gateway.rules import FilePolicies
from interlock.identity.admin import IdentityAdmin
from interlock.identity.audit import AuditLog
from interlock.identity.model import Actor, KeyInfo, KeySpec
from interlock.policy.model import PolicySource
from interlock.storage.engine import Database
from interlock.storage.secrets import SecretBox

__all__ = ["ACTOR", "FrozenClock", "PolicySite", "recorded"]

ACTOR = Actor(name="ann@example.com", surface="cli")
NOW = datetime(2026, 3, 1, tzinfo=UTC).timestamp()


class FrozenClock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.seconds = NOW

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


def recorded(**members: Any) -> DecisionRecord:
    """A call that was allowed by default, with all that replaying needs."""
    basis = {
        "bound": [],
        "header": None,
        "override": False,
        "mode": "standard",
        "presets": {},
        "values": "full",
    }
    values: dict[str, Any] = {
        "at": NOW - 60,
        "verdict": "soft_allowed",
        "reason": "default",
        "rule": None,
        "rule_text": None,
        "rule_line": None,
        "policy": None,
        "rules": [],
        "args": {"to": "bob@corp.example"},
        "labels": {"args": {}, "session": {}},
        "caller": {"user": "ann@example.com", "groups": [], "roles": [], "surface": "control"},
        "basis": basis | members.pop("basis", {}),
    }
    return make_decision(**(values | members))


class PolicySite:
    """Everything around the policy store of one database."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.clock = FrozenClock()
        self.audit = AuditLog(database, self.clock)
        box = SecretBox("master-key-of-the-tests")
        self.admin = IdentityAdmin(database, box, self.audit, self.clock)
        self.files: list[PolicySource] = []
        self.store = PolicyStore(database, self.audit, self.clock)
        self.bindings = Bindings(database, self.audit, self.clock, files=lambda: self.files)
        self.replays = Replays(database, History(database))
        self.activations = Activations(
            database, self.audit, self.clock, self.replays, files=lambda: self.files
        )
        self.pins = PinReview(database, self.audit, self.clock)
        self.key = ""
        self.account = ""

    async def people(self) -> None:
        """An administrator with a key called `robot`."""
        await self.admin.create_user("ann@example.com", ACTOR, global_role="admin")
        made = await self.admin.create_key(KeySpec(label="robot"), ACTOR)
        self.key, self.account = made.view.id, made.view.account_id

    def key_info(self, **members: Any) -> KeyInfo:
        values = {
            "id": self.key or "key_1",
            "account_id": self.account or "acc_1",
            "user_id": "user_1",
            "user_email": "ann@example.com",
            "label": "robot",
        }
        return KeyInfo(**(values | members))

    def serving(self, refresh_s: float = 0.01) -> StoredPolicies:
        """What a running server would ask."""
        return StoredPolicies(self.database, FilePolicies(()), refresh_s=refresh_s)

    async def record(self, *records: DecisionRecord) -> None:
        """Puts calls into the decision log."""
        recorder = BatchRecorder(self.database, spool_dir=self.folder)
        recorder.start()
        for record in records:
            recorder.decision(record)
        assert await recorder.flush(wait_s=10)
        await recorder.stop()

    async def actions(self) -> list[str]:
        """What the audit log says, oldest first."""
        entries = await self.audit.entries()
        return [entry.action for entry in reversed(entries) if entry.action.startswith("policy.")]

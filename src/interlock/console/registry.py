"""Every page of the console, by the file it is in."""

from interlock.console.page import Page
from interlock.console.routes import (
    approvals,
    audit,
    chat,
    decisions,
    finding,
    home,
    key_making,
    keys,
    limit_changes,
    limits,
    own,
    policies,
    policy_proof,
    policy_trying,
    policy_versions,
    providers,
    session,
    settings,
    usage,
    user_changes,
    users,
    whatif,
)

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    *session.PAGES,
    *home.PAGES,
    *decisions.PAGES,
    *whatif.PAGES,
    *approvals.PAGES,
    *chat.PAGES,
    *usage.PAGES,
    *policy_trying.PAGES,
    *policies.PAGES,
    *policy_versions.PAGES,
    *policy_proof.PAGES,
    *key_making.PAGES,
    *keys.PAGES,
    *user_changes.PAGES,
    *users.PAGES,
    *limit_changes.PAGES,
    *limits.PAGES,
    *providers.PAGES,
    *audit.PAGES,
    *own.PAGES,
    *settings.PAGES,
    *finding.PAGES,
)

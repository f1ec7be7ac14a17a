"""Every page of the console, by the file it is in."""

from interlock.console.page import Page
from interlock.console.routes import (
    approvals,
    chat,
    decisions,
    finding,
    home,
    keys,
    policies,
    policy_proof,
    providers,
    session,
    settings,
    usage,
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
    *policies.PAGES,
    *policy_proof.PAGES,
    *keys.PAGES,
    *providers.PAGES,
    *settings.PAGES,
    *finding.PAGES,
)

"""Rate limits, budgets and quotas of a key."""

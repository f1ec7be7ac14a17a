"""Who is asking: accounts, users, memberships, keys, and the audit of admin actions."""

"""Words every other package shares: errors, ids, the clock, the caller's context.

The kernel imports nothing of ours and does no input or output.
"""

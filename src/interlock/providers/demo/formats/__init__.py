"""The three provider APIs as the providers speak them: requests read, answers written.

The demo model plays the *provider*, so nothing here is shared with the gateway's own
codecs: what one side writes wrong, the other must be able to notice.
"""

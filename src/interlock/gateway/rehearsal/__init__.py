"""Attack rehearsal: what an injected text would have made of a recorded session.

`recorded` reads what is known of the session and `terms` what it was decided under;
`playing` runs it through the gateway's own execution, on a demo model that obeys every
CALL line it is shown, with tools that do nothing and a recorder that keeps nothing.
"""

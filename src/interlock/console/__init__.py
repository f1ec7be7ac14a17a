"""The web console under `/console`: what agents did, why it was stopped, and the rule behind it.

Pages are HTML rendered on the server from the services the APIs use; scripts only add to them.
It owns no data and no rules, and it can do nothing an API or a command cannot.

Adding a page takes three things:

1. `routes/NAME.py`: handlers `async def page(call: Call) -> Response` and `PAGES`, a tuple of
   `Page(path, handler, ...)`. A handler reads `call.viewer` and `call.services`, and answers
   with `call.render("NAME.html", fragments={...}, **values)` or `call.redirect(path)`.
2. `templates/NAME.html`: `{% extends "shell.html" %}`, blocks `title`, `answer`, `actions`,
   `content`. A part that is fetched alone is a template of its own, named in `fragments`
   and marked with the same id: header `Accept-Fragment: pane` answers it without the shell.
3. one line in `registry.py` (the module) and, if it is in the rail, one in `nav.py`.

A service a page needs is a field of `Services`; `app_console.py` fills it.
Rules a page keeps: GET changes nothing; POST handlers are called after the CSRF and Origin
checks; what widens or destroys calls `await call.need_recent(...)` first; HTML comes from
templates or from `text.Rendered` alone; ids of other accounts are looked up with
`viewer.scope` and are then simply not found.

Source: console.md.
"""

from interlock.console.services import Services
from interlock.console.surface import Console
from interlock.console.viewer import Granted, SignIn, Viewer

__all__ = ["Console", "Granted", "Services", "SignIn", "Viewer"]

"""The sandbox: where code that a model wrote runs, and nothing of it gets out.

`bubblewrap` builds it and says whether this machine can; `session` is one long-lived interpreter in
it, `sessions` all of them. `guest` and `figures` are what runs inside.
"""

from clew.tools.sandbox.bubblewrap import Sandbox
from clew.tools.sandbox.limits import Limits

__all__ = ["Limits", "Sandbox"]

"""What hostile clients might send: each with a name, what it tries, and what must happen.

One file for each kind; stage.py has the people and the outcomes, test_attacks.py plays them.
"""

from . import answers, dialogs, forms, identity, registrations, routes  # noqa: F401
from .stage import ANSWERS, ATTACKS, Stage, Strike

__all__ = ["ANSWERS", "ATTACKS", "Stage", "Strike"]

"""The house's own exceptions.

::

    SwitchError
    ├── ConfigurationError      a person must change a file; names the file and the key
    ├── WireError               bytes that are no message (switch.wire.errors says more)
    ├── DatabaseUnavailable     PostgreSQL can't be reached or is going away; nothing was committed
    ├── CommitUnknown           the connection died while committing: ask again by idempotency key
    ├── JournalRefused          PostgreSQL refused a write that the code thought right; nothing was committed
    └── InvariantBroken         the books don't add up: stop rather than approve

No message of any of them carries a PAN, track data, a PIN block or a security code.
"""

from __future__ import annotations

from datetime import datetime

__all__ = [
    "CommitUnknown",
    "ConfigurationError",
    "DatabaseUnavailable",
    "InvariantBroken",
    "JournalRefused",
    "SwitchError",
]


class SwitchError(Exception):
    """The root of what this program raises on purpose.

    ``plain``: texts in the message that are known to be no card numbers, though digits alone may make them (the name of
    a file that its network gave it). Whoever masks the message leaves those as they are.
    """

    def __init__(self, *args: object, plain: tuple[str, ...] = ()) -> None:
        super().__init__(*args)
        self.plain = plain


class ConfigurationError(SwitchError):
    """A settings, program, dialect or key file is not usable."""


class DatabaseUnavailable(SwitchError):
    """PostgreSQL can't be reached, or broke off before COMMIT was sent: nothing was booked."""


class CommitUnknown(SwitchError):
    """The connection broke while committing: what was booked is known only by asking for the keys.

    ``moment`` is the time that everything in it was decided at, where the unit of work raised it.
    """

    moment: datetime | None = None


class JournalRefused(SwitchError):
    """PostgreSQL refused the batch (a constraint, a trigger, bad data); nothing was booked."""


class InvariantBroken(SwitchError):
    """Balance and journal disagree. The process stops: an issuer must not approve on doubtful books."""

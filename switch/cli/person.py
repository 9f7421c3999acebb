"""Who runs a command, and whether two that decided are two people.

A person types a name; that is kept, and proves nothing. Two things are harder to pretend: the login that the database
knows, and the user who logged in to this machine, which Linux keeps through ``sudo`` (the audit's login uid).
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click
import msgspec

__all__ = ["Person", "by_option", "os_user"]

#: Logins that are nobody's own: the product's roles.
_SHARED_LOGINS = frozenset({"switch_issuing", "switch_daemon"})
_LOGIN_UID = Path("/proc/self/loginuid")
_NOBODY = 2**32 - 1  # no login is known: a service, a container


class Person(msgspec.Struct, frozen=True):
    """``by`` is what was typed, ``login`` the database's, ``ran_by`` the operating system's."""

    by: str
    login: str
    ran_by: str

    def is_same(self, other: Person) -> bool:
        """Whether the two may be one person. Logins of their own tell people apart; else their users here must."""
        if self.by == other.by:
            return True
        if _SHARED_LOGINS.isdisjoint({self.login, other.login}):
            return self.login == other.login
        return self.ran_by == other.ran_by


def os_user(login_uid: Path = _LOGIN_UID) -> str:
    """Who logged in to this machine, whoever they have become since; else the user of this process."""
    try:
        uid = int(login_uid.read_text())
    except (OSError, ValueError):
        uid = _NOBODY
    if uid == _NOBODY:
        uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _named(_context: click.Context, _option: click.Parameter, typed: str | None) -> str:
    """The name that is kept: as typed, and who typed it where that is another one."""
    user = os_user()
    if typed is None or typed == user:
        return user
    if not typed.strip() or not typed.isprintable():
        raise click.BadParameter("a name is needed")
    return f"{typed.strip()} (run by {user})"


by_option = click.option(
    "--by",
    callback=_named,
    show_default="the user who logged in here",
    help="Who says so. Another name than your own is kept beside it.",
)

"""Who runs a command, and who is the same person as who."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from switch.cli.person import Person, os_user

SHARED = "switch_issuing"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("ann", "ann", "root"), ("bob", "bob", "root"), False),  # a machine where all become root
        (("ann", "ann", "ann"), ("bob", "ann", "bob"), True),  # a login of one's own, lent
        (("ann", "ann", "ann"), ("ann", "bob", "bob"), True),
        (("ann", SHARED, "ann"), ("bob", SHARED, "bob"), False),
        (("ann", SHARED, "root"), ("bob", SHARED, "root"), True),
        (("ann", "ann", "root"), ("bob", SHARED, "root"), True),
        (("ann", "ann", "ann"), ("bob", SHARED, "bob"), False),
        (("ann", "postgres", "ann"), ("bob", "postgres", "bob"), True),
    ],
)
def test_who_may_be_one_person(one: tuple[str, str, str], other: tuple[str, str, str], same: bool) -> None:
    assert Person(*one).is_same(Person(*other)) is same
    assert Person(*other).is_same(Person(*one)) is same


@pytest.mark.parametrize(
    ("text", "uid"),
    [("0\n", 0), ("4294967295\n", None), ("", None), (None, None)],
)
def test_the_user_who_logged_in_else_the_one_of_the_process(tmp_path: Path, text: str | None, uid: int | None) -> None:
    path = tmp_path / "loginuid"
    if text is not None:
        path.write_text(text)
    assert os_user(path) == pwd.getpwuid(os.getuid() if uid is None else uid).pw_name


def test_a_user_without_a_name_has_a_number(tmp_path: Path) -> None:
    path = tmp_path / "loginuid"
    path.write_text("4294967290")
    assert os_user(path) == "uid 4294967290"

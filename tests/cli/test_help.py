"""Every command explains itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from switch.cli.main import switch as tree
from tests.cli.command import switch


def paths(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from paths(child, (*path, name))


@pytest.mark.parametrize("path", list(paths(tree)), ids=" ".join)
def test_help_exits_0_and_says_what_it_is_for(path: tuple[str, ...]) -> None:
    result = switch(*path, "--help")

    assert (result.code, result.err) == (0, "")
    usage, _, text = result.out.partition("\n\n")
    assert usage.startswith(" ".join(("Usage: switch", *path)).rstrip())
    assert len(text.strip().splitlines()[0]) > 10


def test_the_tree_has_what_is_promised() -> None:
    promised = {
        *(("card", name) for name in ("issue", "show", "list", "lock", "unlock", "status")),
        *(("account", name) for name in ("show", "load", "list")),
        *(("journal", name) for name in ("entries", "verify", "explain")),
        *((name,) for name in ("dev", "serve", "migrate", "check-config", "acquirer")),
    }
    assert promised <= set(paths(tree))


def test_as_a_module_and_its_version() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "switch.cli", "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("Usage: ")


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("card", "show"), ("dev",), ("card", "status", "--card", "-", "eaten")]
)
def test_wrong_usage_exits_2_without_a_traceback(arguments: tuple[str, ...]) -> None:
    result = switch(*arguments)
    assert result.code == 2
    assert "Usage: " in result.err and "Traceback" not in result.err

"""House rules that no other tool checks. Each rule is a function from text to complaints, tried on a bad sample first."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from switch.contracts.secret import Pan
from tests.tidy.checkout import ROOT, files, python_files, text

LINES_MAX = 500

# Modules that may be longer, each with its reason.
LONG_MODULES: dict[str, str] = {}


# ── no PAN outside the test cards ────────────────────────────────────────────────────────────────────────────────────

_DIGITS = re.compile(r"(?<![0-9A-Fa-f])[3-6][0-9]{12,18}(?![0-9A-Fa-f])")


def pan_shaped(body: str) -> list[str]:
    """Any 16 digits from 3 to 6, and any 13 to 19 of them that pass Luhn."""
    return [found for found in _DIGITS.findall(body) if len(found) == 16 or Pan(found).passes_luhn()]


def may_hold_pans(path: Path) -> bool:
    return path == Path("simulators/cards.toml") or (path.parts[0] == "tests" and "cases" in path.parts[1:-1])


def test_the_pan_rule_sees_one() -> None:
    sample = "4" + "0" * 15
    assert pan_shaped(f"x = '{sample}'") == [sample]
    assert pan_shaped(f"{sample}0000") == []
    assert pan_shaped("3782" + "8224631000" + "5") == ["3782" + "8224631000" + "5"]  # 15 digits and Luhn


def test_no_pan_shaped_literal_stands_outside_the_test_cards() -> None:
    found = {path: pan_shaped(text(path)) for path in files() if not may_hold_pans(path)}

    assert {str(path): len(pans) for path, pans in found.items() if pans} == {}


# ── sizes and docstrings ─────────────────────────────────────────────────────────────────────────────────────────────


def test_no_module_outgrows_its_noun() -> None:
    sizes = {str(path): text(path).count("\n") for path in python_files("switch", "simulators", "tests")}

    assert {path: lines for path, lines in sizes.items() if lines > LINES_MAX and path not in LONG_MODULES} == {}
    assert [path for path in LONG_MODULES if sizes.get(path, 0) <= LINES_MAX] == [], (
        "no longer long: take it off the list"
    )


@pytest.mark.parametrize("folder", ["switch", "simulators"])
def test_every_room_and_module_says_what_it_is_for(folder: str) -> None:
    modules = python_files(folder)
    silent = [str(path) for path in modules if not ast.get_docstring(ast.parse(text(path)))]
    rooms = {path.parent for path in modules}
    undeclared = [str(room) for room in rooms if not (ROOT / room / "__init__.py").is_file()]

    assert modules
    assert silent == []
    assert undeclared == []


# ── nothing of the machine that made it ──────────────────────────────────────────────────────────────────────────────

# Written in two halves, so that this file does not hold what it looks for.
_FOREIGN = re.compile(
    "|".join(
        (
            "pypi" + r"\.org",
            "python" + "hosted",
            "npm" + r"js\.(?:org|com)",
            r"(?<!no-emit)-(?:extra-)?index" + r"-url\b",
            r"(?<!no-emit)-trusted" + r"-host\b",
            r"(?<!no-emit)-find" + r"-links\b",
            "file:" + "///",
            r"(?<![\w.])/ro" + r"ot/[\w.]",
            r"(?<![\w.])/wo" + r"rk/\w",
            r"(?<![\w.])/ho" + r"me/(?!USER)\w",
            r"(?<![\w.])/opt/p" + "ypi",
        )
    )
)


def test_the_machine_rule_sees_them() -> None:
    for sample in ("--index" + "-url X", "/ro" + "ot/.cache", "https://py" + "pi.org/simple", "cd /wo" + "rk/main"):
        assert _FOREIGN.search(sample), sample
    assert not _FOREIGN.search("--no-emit-index" + "-url")


def test_no_registry_and_no_machine_path_is_written_down() -> None:
    found = {str(path): _FOREIGN.findall(text(path)) for path in files()}

    assert {path: hits for path, hits in found.items() if hits} == {}


# ── ignores have reasons ─────────────────────────────────────────────────────────────────────────────────────────────

_IGNORE = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+[0-9]+(?:,\s*[A-Z]+[0-9]+)*)?|type:\s*ignore\b(?:\[[\w, -]+\])?)(?P<rest>.*)"
)


def without_reason(body: str) -> list[str]:
    """The lines that switch a check off and don't say why: at least two words after the rule."""
    return [
        line.strip()
        for line in body.splitlines()
        if (match := _IGNORE.search(line)) and len(re.findall(r"[A-Za-z]{2,}", match["rest"])) < 2
    ]


@pytest.mark.parametrize(
    ("line", "complains"),
    [
        ("x = 1  # no" + "qa: S101", True),
        ("x = 1  # no" + "qa: S101, B008", True),
        ("x = 1  # type: " + "ignore[arg-type]", True),
        ("x = 1  # type: " + "ignore[arg-type]  # no" + "qa: B008", True),
        ("x = 1  # no" + "qa: S101 -- a fixed list, never a shell", False),
        ("x = 1  # type: " + "ignore[arg-type]  # the caller's options, passed on", False),
    ],
)
def test_the_reason_rule(line: str, complains: bool) -> None:
    assert bool(without_reason(line)) is complains


def test_every_ignore_says_why() -> None:
    found = {str(path): without_reason(text(path)) for path in python_files("switch", "simulators", "tests")}

    assert {path: lines for path, lines in found.items() if lines} == {}

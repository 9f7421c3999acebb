"""Which files belong to the checkout, and their text."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]

# What tools leave and .gitignore names; for a checkout without git, such as an unpacked source archive.
_LEFTOVERS = {".git", ".venv", "build", "dist", "data", "dev-data"}
_CACHES = ("__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache")


@functools.cache
def files() -> tuple[Path, ...]:
    """All files that are, or are about to be, under version control; relative to the root."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, check=False, capture_output=True)
        # git refuses a checkout that belongs to somebody else; then the walk does.
        names = listed.stdout.decode().split("\0")[:-1] if listed.returncode == 0 else []
    except FileNotFoundError:
        names = []
    found = [Path(name) for name in names if (ROOT / name).is_file()] or list(_walk())
    assert Path("pyproject.toml") in found
    return tuple(sorted(set(found)))


def _walk() -> list[Path]:
    paths = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [
        path for path in paths if path.parts[0] not in _LEFTOVERS and not any(part in _CACHES for part in path.parts)
    ]


def python_files(*folders: str) -> list[Path]:
    return [path for path in files() if path.suffix == ".py" and path.parts[0] in folders]


@functools.cache
def text(path: Path) -> str:
    """The file's text; empty for what is no text."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""

"""``extends``: a dialect's tables laid over those of the dialect below it. What the tables mean is not known here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from switch.contracts.errors import ConfigurationError
from switch.wire.specs_folder import FILE_NAME, specs_root

__all__ = ["lineage", "read_layers"]


def lineage(folder: Path, seen: tuple[str, ...] = ()) -> tuple[Path, ...]:
    """The folders that a dialect is made from: its own, the one it extends, and so on.

    Raises ConfigurationError as :func:`read_dialect_file` does. ``seen`` are the names above ``folder``.
    """
    below = _base_of(folder, _toml(folder / FILE_NAME), seen)
    return (folder,) if below is None else (folder, *lineage(below, (*seen, folder.name)))


def read_layers(folder: Path, seen: tuple[str, ...] = ()) -> dict[str, object]:
    """The tables of ``folder/dialect.toml``, laid over those of the dialect that it extends.

    Raises ConfigurationError. ``seen`` are the names above ``folder``.
    """
    path = folder / FILE_NAME
    raw = _toml(path)
    if "hook" in raw:
        raw["hook"] = _hook_path(path, raw["hook"])
    below = _base_of(folder, raw, seen)
    raw.pop("extends", None)
    return raw if below is None else _laid_over(read_layers(below, (*seen, folder.name)), raw)


def _toml(path: Path) -> dict[str, object]:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=dict[str, object])
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _base_of(folder: Path, raw: dict[str, object], seen: tuple[str, ...]) -> Path | None:
    """The folder of the dialect that ``raw`` extends: beside this one, else one that came with the program."""
    path, base = folder / FILE_NAME, raw.get("extends")
    if base is None:
        return None
    if not isinstance(base, str) or not base.isidentifier():
        raise ConfigurationError(f"{path}: extends: not the name of a dialect")
    if base in (*seen, folder.name):
        raise ConfigurationError(f"{path}: extends: {base} extends this dialect in turn")
    beside = folder.parent / base
    if (beside / FILE_NAME).is_file():
        return beside
    came_along = specs_root() / base
    return came_along if (came_along / FILE_NAME).is_file() else beside


def _hook_path(path: Path, name: object) -> str:
    """Where the hook is: beside the file that names it, also when another dialect extends that one."""
    if name == "":  # an extended dialect's hook is not wanted
        return ""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".py"):
        raise ConfigurationError(f"{path}: hook: not the name of a .py file in this folder")
    return str(path.parent / name)


def _laid_over(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    """Tables are joined key by key; anything else, lists too, replaces what it covers."""
    joined = dict(below)
    for key, value in above.items():
        covered = joined.get(key)
        if isinstance(covered, dict) and isinstance(value, dict):
            joined[key] = _laid_over(covered, value)
        else:
            joined[key] = value
    return joined

"""Where the dialects are that came with the program, and which there are."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from switch.contracts.errors import ConfigurationError

__all__ = ["FILE_NAME", "dialect_names", "specs_root"]

FILE_NAME = "dialect.toml"


def specs_root() -> Path:
    """The folder of the dialects that came with the program.

    Raises ConfigurationError when it isn't installed.
    """
    # specs is data without an __init__, so Python knows it as a namespace that may have several places.
    found = importlib.util.find_spec("specs")
    for place in (found.submodule_search_locations or ()) if found is not None else ():
        if any(Path(place).glob(f"*/{FILE_NAME}")):
            return Path(place)
    raise ConfigurationError("specs: the folder of the dialects is not installed")


def dialect_names(root: Path | None = None) -> tuple[str, ...]:
    """The dialects in ``root`` (by default :func:`specs_root`), in alphabetical order."""
    return tuple(sorted(path.parent.name for path in (root or specs_root()).glob(f"*/{FILE_NAME}")))

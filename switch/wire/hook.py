"""A dialect's own code, for what its data can't say: one Python file beside ``dialect.toml``, named there.

::

    hook = "hook.py"          # in dialect.toml; a plain file name, looked for in the same folder

The file has one or both of these functions, and nothing else of it is looked at::

    def after_decode(fields: dict[str, str]) -> dict[str, str]:    # as cut from a payload, before anything is read
    def before_encode(fields: dict[str, str]) -> dict[str, str]:   # as they are about to be written

``fields`` are texts by element: "t" message type, "h" header and raw fields as hexadecimal digits, the rest as text;
after decoding also the bitmaps "p" and "1", which are made anew when encoding. A function may change the dictionary
that it is given, and returns it or another. Both are called for every message, answers and 0800s too, in the daemon's
only thread: they must be quick and do no I/O, and keep nothing of what they see. What they raise, and anything but a
dictionary of texts with a "t", makes the message a format error; it never ends a session.

A hook is a program: it runs with all the rights of the daemon and sees every card number. It is loaded only where the
dialect names it, once, at the start.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TypeAlias

from switch.contracts.errors import ConfigurationError
from switch.wire.errors import EncodeFailure, FieldProblem

__all__ = ["HOOK_FIELD", "Hook", "load_hook"]

HOOK_FIELD = "hook"
"""Named by errors where it was the hook that stumbled, not an element."""

_Function: TypeAlias = Callable[[dict[str, str]], object]  # somebody else's code: it may return anything
_NAMES = ("after_decode", "before_encode")


class Hook:
    """The two functions of a hook, with the one that is not there standing for no change.

    The text of what a hook raises is not kept: it may quote the message.
    """

    def __init__(self, after_decode: _Function | None, before_encode: _Function | None) -> None:
        self._after_decode = after_decode
        self._before_encode = before_encode

    def decoded(self, fields: dict[str, str]) -> dict[str, str]:
        """``fields`` as the dialect means them. Raises :class:`FieldProblem`."""
        if self._after_decode is None:
            return fields
        changed, found = _called(self._after_decode, fields)
        if changed is None:
            raise FieldProblem(HOOK_FIELD, needed="a message that after_decode can take", found=found)
        return changed

    def to_encode(self, fields: Mapping[str, str]) -> Mapping[str, str]:
        """``fields`` as they are to be written. Raises :class:`EncodeFailure`."""
        if self._before_encode is None:
            return fields
        # The caller's own fields stay as they are.
        changed, found = _called(self._before_encode, dict(fields))
        if changed is None:
            raise EncodeFailure(field=HOOK_FIELD, problem=f"before_encode could not take it: {found}")
        return changed


def _called(function: _Function, fields: dict[str, str]) -> tuple[dict[str, str] | None, str]:
    """What ``function`` returned, or None and what was wrong."""
    try:
        changed = function(fields)
    except Exception as error:  # noqa: BLE001 -- somebody else's code: whatever it raises concerns this message only
        return None, type(error).__name__
    if not isinstance(changed, dict) or "t" not in changed:
        return None, "no fields returned"
    try:
        "".join(changed)
        "".join(changed.values())
    except TypeError:
        return None, "fields returned that are no texts"
    return changed, ""


def load_hook(path: Path) -> Hook:
    """The hook in the file at ``path``, which is executed.

    Raises ConfigurationError naming the file.
    """
    module = ModuleType(f"dialect hook {path.parent.name}")
    module.__file__ = str(path)
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from None
    try:
        # Not imported: a dialect's folder is no package, and nothing is to be written beside it.
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 -- what a hook is for; see above
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever it is, the hook is unusable
        raise ConfigurationError(f"{path}: {type(error).__name__}: {error}") from None
    after_decode, before_encode = (_function(path, module, name) for name in _NAMES)
    if after_decode is None and before_encode is None:
        raise ConfigurationError(f"{path}: has neither after_decode nor before_encode")
    return Hook(after_decode, before_encode)


def _function(path: Path, module: ModuleType, name: str) -> _Function | None:
    function: _Function | None = getattr(module, name, None)
    if function is None:
        return None
    try:
        inspect.signature(function).bind({})
    except (TypeError, ValueError):
        raise ConfigurationError(f"{path}: {name}: not a function of one argument, the fields") from None
    return function

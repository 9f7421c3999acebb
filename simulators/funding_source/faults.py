"""How the provider misbehaves: rules from a TOML script, tried in their order at every call.

::

    seed = 7                      # of the probabilities

    [[fault]]
    call = "charge"               # or "query", "void", "any"
    kind = "silent_after"         # takes the money and never answers
    probability = 0.1             # left out: always
    count = 3                     # so often; left out: for ever
    source = "tok-1"              # this source's charges alone; left out: all
    seconds = 0.5                 # with "slow"
    off_by_minor = 100            # with "wrong_amount"
    reason = "over_limit"         # with "decline"
"""

from __future__ import annotations

import random
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from switch.contracts.errors import ConfigurationError

__all__ = ["NO_FAULT", "Fault", "FaultKind", "Faults", "Script", "load_script"]


class FaultKind(StrEnum):
    """``…_before`` happens instead of the deed, ``…_after`` when it is done and in the books."""

    NONE = "none"
    DECLINE = "decline"  # a charge; a void is refused
    SLOW = "slow"  # the deed and the answer come after a while
    SILENT_BEFORE = "silent_before"
    SILENT_AFTER = "silent_after"
    ERROR_BEFORE = "error_before"  # a bare 500
    ERROR_AFTER = "error_after"
    RESET_BEFORE = "reset_before"  # of the TCP connection
    RESET_AFTER = "reset_after"
    BUSY = "busy"  # 503 that promises that nothing was taken
    DUPLICATE = "duplicate"  # the answer comes twice
    WRONG_AMOUNT = "wrong_amount"
    UNKNOWN = "unknown"  # a charge is made and not told; a query or void is put off
    GARBLED = "garbled"  # half of the answer's JSON, under a status of 200


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ``[[fault]]``."""

    kind: FaultKind
    call: Literal["charge", "query", "void", "any"] = "any"
    probability: float = 1.0
    count: int | None = None
    source: str = ""
    seconds: float = 0.0
    off_by_minor: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError, naming the key, on a value that can't work."""
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability: between 0 and 1 needed, {self.probability} found")
        if self.count is not None and self.count < 0:
            raise ValueError("count: is not negative")
        if not 0 <= self.seconds <= 3_600:
            raise ValueError(f"seconds: between 0 and 3600 needed, {self.seconds} found")
        if (self.kind is FaultKind.WRONG_AMOUNT) is (self.off_by_minor == 0):
            raise ValueError("off_by_minor: belongs to wrong_amount, and is not zero")
        if self.kind is FaultKind.WRONG_AMOUNT and self.call != "charge":
            raise ValueError("call: wrong_amount is a fault of charges")


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    seed: int = 1
    fault: tuple[Fault, ...] = ()


NO_FAULT = Fault(kind=FaultKind.NONE)


class Faults:
    """A script being played."""

    def __init__(self, script: Script) -> None:
        self._faults = script.fault
        self._left = [fault.count for fault in script.fault]
        self._random = random.Random(script.seed)

    def next(self, call: str, source: str = "") -> Fault:
        """What befalls this call; counts down."""
        for number, fault in enumerate(self._faults):
            left = self._left[number]
            if fault.call not in (call, "any") or (fault.source and fault.source != source) or left == 0:
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if left is not None:
                self._left[number] = left - 1
            return fault
        return NO_FAULT


def load_script(path: Path) -> Script:
    """Raises ConfigurationError naming file, table and key."""
    try:
        return msgspec.toml.decode(path.read_text(encoding="utf-8"), type=Script)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigurationError(f"{path}: is no TOML: {error}") from None

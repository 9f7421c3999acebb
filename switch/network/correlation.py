"""Why an answer of the peer matches no question of ours: what comes nearest, and what differs. Pure.

Only ever asked when something did not match, so that it may take its time. Everything that it says is a message type,
a STAN or the name of a management function: no card data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from switch.wire.inbound import ManagementFunction

__all__ = ["ANSWERED_BEFORE", "NOTHING_OUTSTANDING", "Near", "nearest"]

ANSWERED_BEFORE = "answered before"
NOTHING_OUTSTANDING = "nothing outstanding"


class Near(NamedTuple):
    """For the log line: the nearest question, empty where there is none, and what keeps the answer from being its."""

    question: str  # "0800 000012 echo"
    differs: str  # "DE11", "DE70", "MTI", several of them, or why nothing could match


def nearest(
    mti: str,
    stan: str,
    function: ManagementFunction | None,
    outstanding: Mapping[str, ManagementFunction],
    answered: Iterable[str],
    *,
    question_mti: str = "0800",
    code_field: str = "70",
) -> Near:
    """``outstanding``: our unanswered 0800s by STAN, the oldest first; ``answered``: STANs of those that were.

    The nearest question differs in the fewest fields; of several, its STAN has the most digits in common with the
    answer's (digits get swapped or shifted), and it is the youngest.
    """
    if mti[1:3] == "81" and stan in answered and stan not in outstanding:
        return Near(f"{question_mti} {stan}", ANSWERED_BEFORE)
    if not outstanding:
        return Near("", NOTHING_OUTSTANDING)

    def distance(asked: tuple[str, ManagementFunction]) -> tuple[int, int]:
        return len(_differing(mti, stan, function, *asked, code_field)), -_digits_in_common(stan, asked[0])

    asked = min(reversed(list(outstanding.items())), key=distance)
    differs = ", ".join(_differing(mti, stan, function, *asked, code_field))
    return Near(f"{question_mti} {asked[0]} {asked[1].value}", differs)


def _differing(
    mti: str,
    stan: str,
    function: ManagementFunction | None,
    asked_stan: str,
    asked_function: ManagementFunction,
    code_field: str,
) -> list[str]:
    found = {
        "MTI": mti[1:3] != "81",
        "DE11": stan != asked_stan,
        f"DE{code_field}": function is not None and function is not asked_function,
    }
    return [field for field, differs in found.items() if differs]


def _digits_in_common(one: str, other: str) -> int:
    return sum(a == b for a, b in zip(one, other, strict=False))

"""What can be wrong with a clearing file.

::

    SwitchError
    ├── ClearingFileError     the file can't be used: names file, line or record, and element
    └── ElementProblem        one element of one record; leaves this room as a ClearingFileError, with its place

Neither quotes what the file holds: where fields have slipped, any text may be a piece of a card number.
"""

from __future__ import annotations

from switch.contracts.errors import SwitchError

__all__ = ["ClearingFileError", "ElementProblem"]


class ClearingFileError(SwitchError):
    """A clearing file that must not be booked, or not further.

    ``place`` is "line 7", "record 3" or empty where the whole file is meant; ``element`` the name of the element in the
    file's own words (``amount``, ``DE4``), or empty.
    """

    def __init__(self, file: str, problem: str, *, place: str = "", element: str = "") -> None:
        super().__init__(": ".join(part for part in (file, place, element, problem) if part))
        self.file = file
        self.place = place
        self.element = element
        self.problem = problem


class ElementProblem(SwitchError):
    """An element that is absent or not what it must be. Inside this room only."""

    def __init__(self, element: str, problem: str) -> None:
        super().__init__(f"{element}: {problem}")
        self.element = element
        self.problem = problem

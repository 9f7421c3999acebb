"""What one session has asked for and may still be answered, and which of it an approval is the answer to."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, TypeAlias

from simulators.fuzz.oracle import Fields, Oracle

__all__ = ["Asked", "Pending"]

_Thread: TypeAlias = tuple[str, str]  # see Oracle.thread


class Asked(NamedTuple):
    """A message that was sent, as the oracle reads it."""

    name: str  # what had been done to it
    fields: Fields
    flaw: str  # what shows that it is damaged; empty: nothing does


class Pending:
    """Batch by batch. A damaged STAN may be a neighbour's, so a thread may have several messages.

    Answers are waited for where a message is sound. One to a damaged message, or to a sound one whose thread has heard
    another, may come when the next batch is on its way: so the messages of a batch are remembered for one batch more.

    ``sign_on``: the switch wants a sign-on, with which each batch begins. A damaged echo may be a sign-off; from there
    to the end of the batch it takes no advices or reversals in, and answers none.
    """

    def __init__(self, oracle: Oracle, *, sign_on: bool) -> None:
        self._oracle = oracle
        self._sign_on = sign_on
        self._signed_off = False
        self._asked: dict[_Thread, list[Asked]] = {}  # of this batch, until they are approved
        self._asked_before: dict[_Thread, list[Asked]] = {}
        self._unheard: Counter[_Thread] = Counter()  # sound messages of this batch that want an answer

    @property
    def unheard(self) -> int:
        """How many sound messages have had no answer yet."""
        return self._unheard.total()

    def sent(self, name: str, payload: bytes) -> bool:
        """Notes a payload that leaves; whether it is a sound message that wants a decision."""
        found = self._oracle.asked(payload)
        if found is None:
            self._signed_off |= self._sign_on and self._oracle.signs_off(payload)
            return False
        one = Asked(name, *found)
        thread = self._oracle.thread(one.fields)
        self._asked.setdefault(thread, []).append(one)
        if one.flaw:
            return False
        if not self._signed_off or self._oracle.is_request(one.fields):
            self._unheard[thread] += 1
        return True

    def heard(self, answer: Fields) -> None:
        """An answer of any kind has come."""
        thread = self._oracle.thread(answer)
        self._unheard[thread] -= 1
        if self._unheard[thread] <= 0:
            del self._unheard[thread]

    def explained(self, approval: Fields) -> Asked | str:
        """The message that asked for an approval; it explains no other one. Or why none did."""
        thread = self._oracle.thread(approval)
        objection = "nobody asked for it"
        for asked in (self._asked.get(thread, []), self._asked_before.get(thread, [])):
            for place, one in enumerate(asked):
                objection = one.flaw or self._oracle.objection(approval, one.fields)
                if not objection:
                    return asked.pop(place)
        return objection

    def next_batch(self) -> int:
        """The batch is over; how many of its sound messages had no answer."""
        silent = self.unheard
        self._asked_before, self._asked = self._asked, {}
        self._unheard.clear()
        self._signed_off = False
        return silent

"""What has been read of a file so far: how many records, and their amounts by currency and direction.

The direction is the cardholder's: a debit is what they owe. It follows from the operation, and turns round where a
record takes money back:

=========================================================  ====================  ======
record                                                     purchase, cash        refund
=========================================================  ====================  ======
presentment, additional charge, chargeback reversal        debit                 credit
presentment reversal, chargeback                           credit                debit
fee (the issuer's, not the cardholder's)                   debit: we pay         credit
=========================================================  ====================  ======
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from switch.contracts.clearing import ClearingKind

__all__ = ["Tally", "Totals", "is_credit"]

_TAKES_BACK = frozenset({ClearingKind.PRESENTMENT_REVERSAL, ClearingKind.CHARGEBACK})


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of the amounts (DE4) in one currency, in its minor units."""

    debit_minor: int
    credit_minor: int


def is_credit(kind: ClearingKind, *, refund: bool) -> bool:
    """Whether such a record, of a refund or not, gives the cardholder money."""
    return refund is not (kind in _TAKES_BACK)


class Tally:
    """Counts records as they are read."""

    __slots__ = ("_credit", "_debit", "count")

    def __init__(self) -> None:
        self.count = 0
        self._debit: dict[str, int] = {}
        self._credit: dict[str, int] = {}

    def add(self, amount_minor: int, currency: str, *, credit: bool) -> None:
        """One more record."""
        self.count += 1
        sums = self._credit if credit else self._debit
        sums[currency] = sums.get(currency, 0) + amount_minor

    @property
    def totals(self) -> Mapping[str, Totals]:
        """By currency, in alphabetical order."""
        return {
            currency: Totals(debit_minor=self._debit.get(currency, 0), credit_minor=self._credit.get(currency, 0))
            for currency in sorted(self._debit.keys() | self._credit.keys())
        }

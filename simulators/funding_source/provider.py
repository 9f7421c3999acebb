"""What the provider does with a call, and what it answers. No sockets: bytes and headers in, status and bytes out."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from simulators.funding_source.books import Books, Deed, Entry
from simulators.funding_source.faults import NO_FAULT, Fault, FaultKind, Faults
from switch.contracts.currency import NUMERIC

__all__ = ["Account", "ChargeBody", "Order", "Provider", "QueryBody", "Reply", "VoidBody"]

_CLOCK_SECONDS = 300  # that a caller's clock may be off, either way


class Account(NamedTuple):
    """Whom calls are taken from."""

    key_id: str
    secret: bytes


class Reply(NamedTuple):
    """An answer, and the fault that the server has still to play on the wire."""

    status: int
    body: bytes
    fault: Fault = NO_FAULT


class ChargeBody(msgspec.Struct, frozen=True):
    """Take money."""

    source: str
    amount_minor: int
    currency: str


class QueryBody(msgspec.Struct, frozen=True):
    """What became of a charge?"""

    charge_key: str


class VoidBody(msgspec.Struct, frozen=True):
    """Give it back."""

    charge_key: str
    reference: str


_CALLS: dict[str, tuple[str, type[ChargeBody] | type[QueryBody] | type[VoidBody]]] = {
    "/v1/charges": ("charge", ChargeBody),
    "/v1/queries": ("query", QueryBody),
    "/v1/voids": ("void", VoidBody),
}


class Order(NamedTuple):
    """A call that was read and is to be carried out."""

    key: str
    told: ChargeBody | QueryBody | VoidBody
    fault: Fault


class Provider:
    """Deeds are in the books before their answer exists."""

    def __init__(self, books: Books, account: Account, faults: Faults, clock: Callable[[], float]) -> None:
        self.books = books
        self.faults = faults
        self._account = account
        self._clock = clock

    def read(self, path: str, headers: Mapping[str, str], body: bytes) -> Order | Reply:
        """``headers`` in lower case. A refusal here says that nothing was taken: this call came to nothing."""
        key = headers.get("idempotency-key", "")
        if path not in _CALLS:
            return _refusal(HTTPStatus.NOT_FOUND, key, "no such call")
        if not self._signed(path, headers, key, body):
            return _refusal(HTTPStatus.UNAUTHORIZED, key, "signature")
        call, kind = _CALLS[path]
        try:
            told = msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            return _refusal(HTTPStatus.BAD_REQUEST, key, str(error))
        fault = self.faults.next(call, told.source if isinstance(told, ChargeBody) else "")
        match fault.kind:
            case FaultKind.SILENT_BEFORE | FaultKind.RESET_BEFORE:
                return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"", fault)
            case FaultKind.ERROR_BEFORE:
                return _bare_error(fault)
            case FaultKind.BUSY:
                return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, key, "busy")
        return Order(key, told, fault)

    def carry_out(self, order: Order) -> Reply:
        """The deed, and the answer as the fault leaves it."""
        key, told, fault = order
        if isinstance(told, ChargeBody):
            reply = self._charge(key, told, fault)
        elif isinstance(told, QueryBody):
            reply = self._query(key, told, fault)
        else:
            reply = self._void(key, told, fault)
        if fault.kind is FaultKind.ERROR_AFTER:
            return _bare_error(fault)
        if fault.kind is FaultKind.GARBLED:
            return Reply(reply.status, reply.body[: len(reply.body) // 2], fault)
        return reply._replace(fault=fault)

    def _signed(self, path: str, headers: Mapping[str, str], key: str, body: bytes) -> bool:
        timestamp = headers.get("funding-timestamp", "")
        text = f"funding-v1\nPOST\n{path}\n{timestamp}\n{key}\n{hashlib.sha256(body).hexdigest()}"
        wanted = hmac.new(self._account.secret, text.encode(), hashlib.sha256).hexdigest()
        good = hmac.compare_digest(wanted.encode(), headers.get("funding-signature", "").encode())
        known = hmac.compare_digest(self._account.key_id.encode(), headers.get("funding-key-id", "").encode())
        in_time = timestamp.isdecimal() and abs(int(timestamp) - self._clock()) <= _CLOCK_SECONDS
        return good and known and in_time and bool(key)

    def _charge(self, key: str, told: ChargeBody, fault: Fault) -> Reply:
        made = self.books.charges.get(key) or self.books.refused.get(key)
        if made is not None and made.deed is not Deed.CLOSED and not _same(made, told):
            # Something may have been taken under this key, so no promise.
            return _reply(HTTPStatus.CONFLICT, key, error="the key was used for another charge")
        if made is None:
            if told.amount_minor <= 0 or told.currency not in NUMERIC or not told.source:
                return _refusal(HTTPStatus.UNPROCESSABLE_ENTITY, key, "source, amount or currency")
            made = self._take(key, told, fault)
            self.books.add(made)
        if made.deed is not Deed.CHARGED:
            return _reply(HTTPStatus.OK, key, result="declined", reason=made.reason)
        if fault.kind is FaultKind.UNKNOWN:
            return _reply(HTTPStatus.OK, key, result="unknown")
        return _charged(key, made)

    def _take(self, key: str, told: ChargeBody, fault: Fault) -> Entry:
        declines = fault.kind is FaultKind.DECLINE
        return Entry(
            deed=Deed.DECLINED if declines else Deed.CHARGED,
            key=key,
            at=self._now(),
            source=told.source,
            asked_minor=told.amount_minor,
            amount_minor=0 if declines else max(1, told.amount_minor + fault.off_by_minor),
            currency=told.currency,
            reference="" if declines else f"ch-{len(self.books.charges) + 1:08d}",
            reason=(fault.reason or "insufficient_funds") if declines else "",
        )

    def _query(self, key: str, told: QueryBody, fault: Fault) -> Reply:
        if fault.kind is FaultKind.UNKNOWN:
            return _reply(HTTPStatus.OK, key, result="unknown")
        charge = self.books.charges.get(told.charge_key)
        if charge is not None:
            void = self.books.voids.get(told.charge_key)
            voided = void is not None and void.deed is Deed.VOIDED
            return _reply(HTTPStatus.OK, key, result="not_charged") if voided else _charged(key, charge)
        if told.charge_key not in self.books.refused:
            closed = Entry(deed=Deed.CLOSED, key=told.charge_key, at=self._now(), reason="key_closed")
            self.books.add(closed)
        return _reply(HTTPStatus.OK, key, result="not_charged")

    def _void(self, key: str, told: VoidBody, fault: Fault) -> Reply:
        if fault.kind is FaultKind.UNKNOWN:
            return _reply(HTTPStatus.OK, key, result="unknown")
        charge = self.books.charges.get(told.charge_key)
        if charge is None or charge.reference != told.reference:
            return _reply(HTTPStatus.OK, key, result="refused", reason="no_such_charge")
        made = self.books.voids.get(told.charge_key)
        if made is None:
            refuse = fault.kind is FaultKind.DECLINE
            made = Entry(
                deed=Deed.VOID_REFUSED if refuse else Deed.VOIDED,
                key=charge.key,
                at=self._now(),
                amount_minor=charge.amount_minor,
                currency=charge.currency,
                reference=charge.reference,
                reason=(fault.reason or "too_late") if refuse else "",
                void_key=key,
            )
            self.books.add(made)
        if made.deed is Deed.VOID_REFUSED:
            return _reply(HTTPStatus.OK, key, result="refused", reason=made.reason)
        return _reply(HTTPStatus.OK, key, result="voided", reference=made.reference)

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")


def _same(made: Entry, told: ChargeBody) -> bool:
    return (made.source, made.asked_minor, made.currency) == (told.source, told.amount_minor, told.currency)


def _charged(key: str, made: Entry) -> Reply:
    return _reply(
        HTTPStatus.OK,
        key,
        result="charged",
        reference=made.reference,
        amount_minor=made.amount_minor,
        currency=made.currency,
    )


def _refusal(status: HTTPStatus, key: str, why: str) -> Reply:
    return _reply(status, key, error=why, taken=False)


def _bare_error(fault: Fault) -> Reply:
    """As a proxy or a crash says it: not in the contract's words."""
    return Reply(HTTPStatus.INTERNAL_SERVER_ERROR, b"<h1>500 Internal Server Error</h1>", fault)


def _reply(status: HTTPStatus, key: str, **fields: object) -> Reply:
    return Reply(status, msgspec.json.encode({"key": key, **fields}))

"""The queue of clearing records in doubt, and what people decide about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from switch.contracts.clearing import Instruction, InstructionKind
from switch.contracts.message import Request
from switch.contracts.secret import Pan
from switch.journal.clearing_rows import request_of
from switch.journal.connection import Connection, translated

__all__ = ["ExceptionShown", "InDoubt", "Proposal", "exceptions", "in_doubt", "login", "propose", "purchases_of"]

#: No card has this look-up value: it finds none, where a record's card is unknown.
_NO_CARD = bytes(32)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What one person has asked for; another must agree.

    ``by`` is the name that they gave, ``login`` the database's, ``ran_by`` the operating system's user. Those two are
    empty where the proposal is older than they are.
    """

    kind: InstructionKind
    hold: int | None
    by: str
    login: str
    ran_by: str
    at: datetime


class ExceptionShown(msgspec.Struct, frozen=True, kw_only=True):
    """A clearing record in doubt as a person may see it. ``id`` names it in the commands."""

    id: str  # its key, in hex
    why: str
    account: int | None
    card: str | None  # masked
    network: str
    file: str
    record: int
    kind: str
    operation: str
    amount: int
    currency: str
    acquirer_reference: str
    purchased_at: datetime
    booked_at: datetime
    state: str
    told: dict[str, Any]  # the rest of the record
    proposal: Proposal | None


class InDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """A record in doubt as the unit of work wants it."""

    account_id: int
    key: bytes
    fingerprint: bytes
    pan_lookup: bytes
    request: Request


_SHOWN = """
    SELECT i.*, c.pan_masked, p.kind AS proposed, p.hold_id AS proposed_hold, p.proposed_by, p.proposed_at,
           p.login AS proposed_login, p.ran_by AS proposed_ran_by
      FROM clearing_item i
      LEFT JOIN message_key m ON m.account_id = i.account_id AND m.key = i.key
      LEFT JOIN card c ON c.card_id = m.card_id
      LEFT JOIN clearing_proposal p ON p.account_id = i.account_id AND p.key = i.key
"""


async def exceptions(
    connection: Connection, *, key: bytes | None = None, everything: bool = False, limit: int = 1000
) -> list[ExceptionShown]:
    """Records in doubt, oldest first; with ``key`` that one, whatever its state; ``everything``: settled ones too.

    Settled ones are those that a person has settled.
    """
    settled = (
        "i.state = 'in_doubt' OR EXISTS (SELECT FROM clearing_step s"
        " WHERE s.account_id = i.account_id AND s.key = i.key AND s.before = 'in_doubt')"
    )
    wanted = "i.key = $1" if key is not None else settled if everything else "i.state = 'in_doubt'"
    arguments = [limit] if key is None else [key, limit]
    with translated():
        rows = await connection.fetch(
            f"{_SHOWN} WHERE {wanted} ORDER BY i.booked_at, i.key LIMIT ${len(arguments)}",
            *arguments,
        )
    return [_shown(row) for row in rows]


def _shown(row: Any) -> ExceptionShown:  # a Record; its columns are named above
    return ExceptionShown(
        id=row["key"].hex(),
        why=row["why"],
        account=row["account_id"] or None,
        card=row["pan_masked"],
        network=row["network"],
        file=row["file_id"],
        record=row["record"],
        kind=row["kind"],
        operation=row["operation"],
        amount=row["transaction_amount"],
        currency=row["transaction_currency"],
        acquirer_reference=row["acquirer_reference"],
        purchased_at=row["purchased_at"],
        booked_at=row["booked_at"],
        state=row["state"],
        told=msgspec.json.decode(row["request"]),
        proposal=None
        if row["proposed"] is None
        else Proposal(
            kind=InstructionKind(row["proposed"]),
            hold=row["proposed_hold"],
            by=row["proposed_by"],
            login=row["proposed_login"],
            ran_by=row["proposed_ran_by"],
            at=row["proposed_at"],
        ),
    )


async def in_doubt(connection: Connection, key: bytes, instruction: Instruction) -> InDoubt | None:
    """The record with this key as a request that carries the instruction; None where there is none."""
    with translated():
        row = await connection.fetchrow(
            "SELECT i.*, c.pan_lookup, m.fingerprint FROM clearing_item i"
            " JOIN message_key m ON m.account_id = i.account_id AND m.key = i.key"
            " LEFT JOIN card c ON c.card_id = m.card_id WHERE i.key = $1",
            key,
        )
    if row is None:
        return None
    # The number itself is not needed: its look-up value leads to the card, and nothing is logged but what is masked.
    request = request_of(row, Pan(""))
    assert request.clearing is not None, "a record has its clearing part"
    clearing = msgspec.structs.replace(request.clearing, instruction=instruction)
    return InDoubt(
        account_id=row["account_id"],
        key=row["key"],
        fingerprint=row["fingerprint"],
        pan_lookup=row["pan_lookup"] or _NO_CARD,
        request=msgspec.structs.replace(request, clearing=clearing),
    )


async def login(connection: Connection) -> str:
    """Whom the database takes us for, and keeps with what is proposed and settled."""
    with translated():
        user: str = await connection.fetchval("SELECT session_user")
    return user


async def propose(connection: Connection, doubt: InDoubt, instruction: Instruction, ran_by: str, now: datetime) -> None:
    """Remembers what one person asks for, with their login. The newest proposal stands."""
    with translated():
        await connection.execute(
            "SELECT propose_clearing($1, $2, $3, $4, $5, $6, $7)",
            doubt.account_id,
            doubt.key,
            instruction.kind,
            instruction.hold_id,
            instruction.by,
            ran_by,
            now,
        )


async def purchases_of(connection: Connection, account_id: int, limit: int = 50) -> list[dict[str, Any]]:
    """The account's newest purchases, for a person who has to tell which one a record belongs to."""
    with translated():
        rows = await connection.fetch(
            "SELECT h.hold_id AS hold, h.state, h.authorized, h.held, h.posted, h.refunded, h.approval_code,"
            " h.opened_at, h.expires_at, m.merchant_name AS merchant, m.terminal_id AS terminal,"
            " m.retrieval_reference, m.network_reference, m.stan"
            " FROM hold h LEFT JOIN message_key m ON m.account_id = h.account_id AND m.key = h.begun_by"
            " WHERE h.account_id = $1 AND NOT h.credit ORDER BY h.hold_id DESC LIMIT $2",
            account_id,
            limit,
        )
    return [dict(row) for row in rows]

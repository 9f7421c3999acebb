"""Issuing a card: the vault seals its number, the journal opens its account."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from switch.contracts.secret import Pan
from switch.journal.connection import Connection
from switch.journal.issuing import NewCard, next_card_id, open_account
from switch.vault.pan import NONCE_BYTES, PanVault

__all__ = ["Issued", "issue_card"]


class Issued(NamedTuple):
    """The ids of what was made."""

    account_id: int
    card_id: int


async def issue_card(
    connection: Connection,
    vault: PanVault,
    pan: Pan,
    *,
    program: str,
    currency: str,
    expiry: str,
    service_code: str,
    status: str = "active",
    locked: bool = False,
    floor_minor: int = 0,
) -> Issued:
    """Issues a card with an account of its own and balance 0. ``connection`` is the issuing role's.

    Raises JournalRefused when the number is issued already, or expiry (YYMM) or service code are malformed.
    """
    card_id = await next_card_id(connection)
    account_id = await open_account(
        connection,
        NewCard(
            card_id=card_id,
            pan_lookup=vault.lookup(pan),
            pan_sealed=vault.encrypt(pan, card_id, secrets.token_bytes(NONCE_BYTES)),
            pan_masked=pan.masked,
            program=program,
            currency=currency,
            floor_minor=floor_minor,
            expiry=expiry,
            service_code=service_code,
            status=status,
            locked=locked,
        ),
    )
    return Issued(account_id, card_id)

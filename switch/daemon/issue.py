"""Issuing cards and adding credentials to them: the vault seals the number, the journal stores it."""

from __future__ import annotations

import secrets
from typing import NamedTuple

from switch.contracts.secret import Pan
from switch.journal import issuing
from switch.journal.connection import Connection
from switch.vault.pan import NONCE_BYTES, PanVault

__all__ = ["Issued", "add_credential", "issue_card"]


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
    card_id = await issuing.next_card_id(connection)
    account_id = await issuing.open_account(
        connection,
        issuing.NewCard(
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


async def add_credential(
    connection: Connection,
    vault: PanVault,
    pan: Pan,
    card_id: int,
    *,
    expiry: str,
    service_code: str,
    status: str = "active",
    network: str = "",
) -> int:
    """Gives a card a further number, good on ``network`` or, where that is empty, on all; returns the credential's id.

    Raises JournalRefused when the number is in use already, or expiry (YYMM) or service code are malformed.
    """
    credential_id = await issuing.next_credential_id(connection)
    nonce = secrets.token_bytes(NONCE_BYTES)
    await issuing.add_credential(
        connection,
        issuing.NewCredential(
            credential_id=credential_id,
            card_id=card_id,
            pan_lookup=vault.lookup(pan),
            pan_sealed=vault.encrypt(pan, card_id, nonce, credential_id=credential_id),
            pan_masked=pan.masked,
            expiry=expiry,
            service_code=service_code,
            status=status,
            network=network,
        ),
    )
    return credential_id

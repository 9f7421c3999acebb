"""How a PAN is kept at rest: a keyed hash to find the card by, a ciphertext to read it back from.

The two serve different needs and have different keys (PCI DSS v4, 3.5.1.1). The hash is deterministic, so that an index
finds the card of an arriving message; without its key nobody can walk the 10^9 or so account numbers of a BIN. The
ciphertext is AES-256-GCM with the card's id as associated data: a blob that somebody copies to another card's row
does not open. The number of a credential (a card may have several numbers) is bound to the credential's id as well.

Blob, in bytes::

    0      version, 1
    1-4    key id, big-endian: which data key, so that keys can be changed while old blobs stay readable
    5-16   nonce (96 bits, NIST SP 800-38D), never used twice with one key: the caller draws it
    17-    ciphertext and 16-byte tag; the PAN's digits are ASCII

Version and key id are authenticated too: they stand before the card id in the associated data. The credential's id, if
there is one, stands behind it.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from switch.contracts.errors import ConfigurationError, SwitchError
from switch.contracts.secret import Pan
from switch.vault.keys import DATA_KEY_BYTES, LOOKUP_KEY_BYTES

__all__ = ["NONCE_BYTES", "PanUnreadable", "PanVault"]

NONCE_BYTES: Final = 12

_VERSION: Final = b"\x01"
_KEY_ID_END: Final = 5
_NONCE_END: Final = _KEY_ID_END + NONCE_BYTES
_TAG_BYTES: Final = 16
_KEY_ID_MAX: Final = 2**32 - 1


class PanUnreadable(SwitchError):
    """A stored PAN does not open: damaged, moved from another card, or its key is not loaded."""


class PanVault:
    """Hashes, encrypts and decrypts PANs. Immutable; one per process, made by the composition root.

    ``lookup_key`` is 32 bytes and can't be changed without hashing every card again. ``data_keys`` are 32 bytes each
    by key id (0 to 2^32-1); ``current_key_id`` is the one new blobs are made with.

    Raises:
        ConfigurationError: a key of the wrong length, the current key missing, or one key used for both purposes.
    """

    __slots__ = ("_ciphers", "_current_key_id", "_lookup")

    def __init__(self, lookup_key: bytes, data_keys: Mapping[int, bytes], current_key_id: int) -> None:
        if len(lookup_key) != LOOKUP_KEY_BYTES:
            raise ConfigurationError(f"PAN look-up key: {LOOKUP_KEY_BYTES} bytes needed, {len(lookup_key)} found")
        for key_id, key in data_keys.items():
            if not 0 <= key_id <= _KEY_ID_MAX:
                raise ConfigurationError(f"PAN data key id {key_id}: not within 0 and {_KEY_ID_MAX}")
            if len(key) != DATA_KEY_BYTES:
                raise ConfigurationError(f"PAN data key {key_id}: {DATA_KEY_BYTES} bytes needed, {len(key)} found")
            if hmac.compare_digest(key, lookup_key):
                raise ConfigurationError(f"PAN data key {key_id}: it is the look-up key; each needs its own")
        if current_key_id not in data_keys:
            raise ConfigurationError(f"PAN data key {current_key_id} is the current one, but is not among the keys")
        # The key schedule is computed once here; copying the state is all that a look-up pays for it.
        self._lookup = hmac.new(lookup_key, digestmod="sha256")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in data_keys.items()}
        self._current_key_id = current_key_id

    def __repr__(self) -> str:
        return f"PanVault(key ids {sorted(self._ciphers)}, current {self._current_key_id})"

    def lookup(self, pan: Pan) -> bytes:
        """HMAC-SHA-256 of the PAN's digits, 32 bytes: the index key of a card."""
        state = self._lookup.copy()
        state.update(pan.reveal().encode())
        return state.digest()

    def encrypt(self, pan: Pan, card_id: int, nonce: bytes, *, credential_id: int | None = None) -> bytes:
        """The blob for this card's row, or for that of its credential.

        ``nonce`` is 12 random bytes, drawn afresh by the caller for every call.

        Raises:
            ValueError: the nonce has another length.
        """
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce of {NONCE_BYTES} bytes is needed, {len(nonce)} found")
        head = _VERSION + self._current_key_id.to_bytes(4, "big")
        cipher = self._ciphers[self._current_key_id]
        return head + nonce + cipher.encrypt(nonce, pan.reveal().encode(), _associated(head, card_id, credential_id))

    def decrypt(self, blob: bytes, card_id: int, *, credential_id: int | None = None) -> Pan:
        """The PAN of this card's row, or of its credential's.

        Raises:
            PanUnreadable: the blob is damaged, belongs to another row, or its key is not loaded.
        """
        if len(blob) <= _NONCE_END + _TAG_BYTES or blob[:1] != _VERSION:
            raise PanUnreadable(f"card {card_id}: the stored PAN has an unknown layout")
        head = bytes(blob[:_KEY_ID_END])
        key_id = int.from_bytes(head[1:], "big")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise PanUnreadable(f"card {card_id}: the stored PAN needs data key {key_id}, which is not loaded")
        try:
            digits = cipher.decrypt(
                blob[_KEY_ID_END:_NONCE_END], blob[_NONCE_END:], _associated(head, card_id, credential_id)
            )
        except InvalidTag:
            raise PanUnreadable(f"card {card_id}: the stored PAN fails its authentication") from None
        return Pan(digits.decode("ascii"))

    def needs_new_key(self, blob: bytes) -> bool:
        """Whether the blob was made with an older key, so that a job should encrypt it again."""
        return int.from_bytes(blob[1:_KEY_ID_END], "big") != self._current_key_id


def _associated(head: bytes, card_id: int, credential_id: int | None) -> bytes:
    """What the tag covers besides the ciphertext: version, key id and ids (bigint, as in PostgreSQL)."""
    ids = (card_id,) if credential_id is None else (card_id, credential_id)
    return head + b"".join(each.to_bytes(8, "big", signed=True) for each in ids)

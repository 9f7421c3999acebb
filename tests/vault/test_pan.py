"""A PAN at rest: found by its hash, read back only from its own card's row."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan
from switch.vault.pan import PanUnreadable, PanVault
from tests.vault.cards import OTHER, PLAIN, card_ids, nonces, pans

LOOKUP_KEY = bytes(range(32))
OLD_KEY = bytes(range(32, 64))
NEW_KEY = bytes(range(64, 96))
NONCE = bytes(range(12))

VAULT = PanVault(LOOKUP_KEY, {1: OLD_KEY, 2: NEW_KEY}, 2)


@given(pan=pans, card_id=card_ids, nonce=nonces)
def test_what_was_encrypted_comes_back(pan: Pan, card_id: int, nonce: bytes) -> None:
    blob = VAULT.encrypt(pan, card_id, nonce)

    assert VAULT.decrypt(blob, card_id) == pan
    assert pan.reveal().encode() not in blob


@given(pan=pans, card_id=card_ids, other_id=card_ids, nonce=nonces)
def test_a_blob_of_another_card_does_not_open(pan: Pan, card_id: int, other_id: int, nonce: bytes) -> None:
    assume(card_id != other_id)
    blob = VAULT.encrypt(pan, card_id, nonce)

    with pytest.raises(PanUnreadable) as raised:
        VAULT.decrypt(blob, other_id)

    assert pan.reveal() not in str(raised.value)


@given(pan=pans, card_id=card_ids, credential_id=card_ids, others=st.tuples(card_ids, card_ids), nonce=nonces)
def test_a_blob_of_a_credential_opens_for_its_card_and_credential_only(
    pan: Pan, card_id: int, credential_id: int, others: tuple[int, int], nonce: bytes
) -> None:
    other_card, other_credential = others
    assume(other_card != card_id and other_credential != credential_id)
    blob = VAULT.encrypt(pan, card_id, nonce, credential_id=credential_id)

    assert VAULT.decrypt(blob, card_id, credential_id=credential_id) == pan
    for card, credential in (
        (card_id, None),
        (credential_id, None),
        (card_id, other_credential),
        (other_card, credential_id),
    ):
        with pytest.raises(PanUnreadable):
            VAULT.decrypt(blob, card, credential_id=credential)
    with pytest.raises(PanUnreadable):
        VAULT.decrypt(VAULT.encrypt(pan, card_id, nonce), card_id, credential_id=credential_id)


@given(pan=pans, nonce=nonces, data=st.data())
def test_a_flipped_bit_does_not_open(pan: Pan, nonce: bytes, data: st.DataObject) -> None:
    blob = bytearray(VAULT.encrypt(pan, 7, nonce))
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[bit // 8] ^= 1 << bit % 8

    with pytest.raises(PanUnreadable):
        VAULT.decrypt(bytes(blob), 7)


@given(blob=st.binary(max_size=80))
def test_arbitrary_bytes_do_not_open(blob: bytes) -> None:
    with pytest.raises(PanUnreadable):
        VAULT.decrypt(blob, 7)


@given(pan=pans, card_id=card_ids, nonce=nonces)
def test_no_representation_shows_the_digits_or_the_keys(pan: Pan, card_id: int, nonce: bytes) -> None:
    assume(len(pan.reveal()) >= 13)
    shown = f"{pan!r} {pan} {VAULT!r} {VAULT.decrypt(VAULT.encrypt(pan, card_id, nonce), card_id)!r}"

    assert pan.reveal() not in shown
    for key in (LOOKUP_KEY, OLD_KEY, NEW_KEY):
        assert repr(key)[2:-1] not in shown
        assert key.hex() not in shown


def test_the_lookup_is_the_keyed_hash_of_the_digits() -> None:
    assert VAULT.lookup(PLAIN) == hmac.digest(LOOKUP_KEY, PLAIN.reveal().encode(), "sha256")
    # The same every time: the first look-up leaves no trace in the next.
    assert VAULT.lookup(PLAIN) == VAULT.lookup(Pan(PLAIN.reveal()))
    assert VAULT.lookup(PLAIN) != VAULT.lookup(OTHER)
    assert VAULT.lookup(PLAIN) != PanVault(NEW_KEY, {1: OLD_KEY}, 1).lookup(PLAIN)


def test_a_blob_is_laid_out_as_documented() -> None:
    blob = VAULT.encrypt(PLAIN, 7, NONCE)

    assert blob[:1] == b"\x01"
    assert blob[1:5] == b"\x00\x00\x00\x02"
    assert blob[5:17] == NONCE
    assert len(blob) == 17 + 16 + 16  # 16 digits, 16 bytes of tag


def test_keys_can_be_changed_while_old_blobs_stay_readable() -> None:
    before = PanVault(LOOKUP_KEY, {1: OLD_KEY}, 1)
    old = before.encrypt(PLAIN, 7, NONCE)

    assert VAULT.decrypt(old, 7) == PLAIN
    assert VAULT.needs_new_key(old)
    assert not VAULT.needs_new_key(VAULT.encrypt(PLAIN, 7, NONCE))


def test_a_blob_cannot_be_relabelled_to_another_key() -> None:
    # Even where both ids stand for the same key, the id that it was made with is sealed in.
    vault = PanVault(LOOKUP_KEY, {1: NEW_KEY, 2: NEW_KEY}, 2)
    blob = bytearray(vault.encrypt(PLAIN, 7, NONCE))
    blob[4] = 1

    with pytest.raises(PanUnreadable, match="authentication"):
        vault.decrypt(bytes(blob), 7)


def test_a_blob_whose_key_is_gone_names_the_key() -> None:
    blob = VAULT.encrypt(PLAIN, 7, NONCE)

    with pytest.raises(PanUnreadable, match="data key 2, which is not loaded"):
        PanVault(LOOKUP_KEY, {1: OLD_KEY}, 1).decrypt(blob, 7)


@pytest.mark.parametrize("length", [0, 11, 13, 16])
def test_a_nonce_has_twelve_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="nonce of 12 bytes"):
        VAULT.encrypt(PLAIN, 7, bytes(length))


@pytest.mark.parametrize(
    ("lookup_key", "data_keys", "current", "message"),
    [
        (LOOKUP_KEY[:31], {1: OLD_KEY}, 1, "look-up key: 32 bytes needed, 31 found"),
        (LOOKUP_KEY, {1: OLD_KEY[:16]}, 1, "data key 1: 32 bytes needed, 16 found"),
        (LOOKUP_KEY, {1: OLD_KEY}, 2, "data key 2 is the current one, but is not among the keys"),
        (LOOKUP_KEY, {}, 1, "data key 1 is the current one, but is not among the keys"),
        (LOOKUP_KEY, {1: LOOKUP_KEY}, 1, "data key 1: it is the look-up key"),
        (LOOKUP_KEY, {-1: OLD_KEY}, -1, "data key id -1: not within"),
        (LOOKUP_KEY, {2**32: OLD_KEY}, 2**32, "data key id 4294967296: not within"),
    ],
)
def test_unusable_keys_are_refused(lookup_key: bytes, data_keys: dict[int, bytes], current: int, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PanVault(lookup_key, data_keys, current)

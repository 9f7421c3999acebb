"""CVV, iCVV and CVV2: computed for every check from PAN, expiry, service code and the program's key, never stored.

One algorithm (two-key 3DES) makes all three; what differs is the service code that goes in::

    CVV   on the magnetic stripe    the card's own service code
    iCVV  in the chip's track 2     999
    CVV2  printed on the card       000

so a code read from one of them is of no use in another. The expiry goes in as four digits in the order the issuer
chose; here it is YYMM for all three, as the stripe and the chip carry it. (Other issuers take MMYY for CVV2; both are
seen.)
"""

from __future__ import annotations

import hmac
import warnings
from collections.abc import Mapping
from typing import Final

from cryptography.utils import CryptographyDeprecationWarning
from psec.cvv import generate_cvv

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Pan, Secret
from switch.vault.keys import CVK_BYTES

__all__ = ["CVV2_SERVICE_CODE", "ICVV_SERVICE_CODE", "SecurityCodes"]

ICVV_SERVICE_CODE: Final = "999"
CVV2_SERVICE_CODE: Final = "000"

_PAN_DIGITS_MAX: Final = 19

# The schemes define these codes with single and two-key DES, and psec reaches them by cryptography's old names. Both
# are pinned and the published vectors stand in the tests, so at run time the warnings would tell an operator nothing.
warnings.filterwarnings("ignore", category=CryptographyDeprecationWarning, module=r"psec\.des")


class SecurityCodes:
    """Makes and checks security codes with one card verification key per program.

    ``keys``: 32 hex digits each (CVK A and CVK B) by program name. Immutable.

    Raises:
        ConfigurationError: a key is not 32 hex digits; the message names the program.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Mapping[str, Secret]) -> None:
        self._keys = {program: _cvk(program, key) for program, key in keys.items()}

    def __repr__(self) -> str:
        return f"SecurityCodes(programs {sorted(self._keys)})"

    def cvv(self, program: str, pan: Pan, expiry: str, service_code: str) -> Secret:
        """The three-digit code for these elements; for the card maker, who prints or encodes it.

        ``expiry`` is YYMM, ``service_code`` three digits.

        Raises:
            ConfigurationError: the program has no key.
            ValueError: an element has the wrong shape; the message does not quote it.
        """
        key = self._keys.get(program)
        if key is None:
            raise ConfigurationError(f"program {program}: no card verification key")
        if not _well_formed(pan, expiry, service_code):
            raise ValueError("a PAN of 1 to 19 digits, an expiry of 4 and a service code of 3 are needed")
        return Secret(generate_cvv(key, pan.reveal(), expiry, service_code))

    def cvv_matches(self, program: str, pan: Pan, expiry: str, service_code: str, code: Secret) -> bool:
        """Whether ``code`` is the stripe's CVV (``service_code`` is the card's, not the message's)."""
        return self._matches(program, pan, expiry, service_code, code)

    def icvv_matches(self, program: str, pan: Pan, expiry: str, code: Secret) -> bool:
        """Whether ``code`` is the chip's iCVV."""
        return self._matches(program, pan, expiry, ICVV_SERVICE_CODE, code)

    def cvv2_matches(self, program: str, pan: Pan, expiry: str, code: Secret) -> bool:
        """Whether ``code`` is the printed CVV2."""
        return self._matches(program, pan, expiry, CVV2_SERVICE_CODE, code)

    def _matches(self, program: str, pan: Pan, expiry: str, service_code: str, code: Secret) -> bool:
        """Constant-time comparison. Elements that no code can be made of match nothing: a decline, not an error."""
        if not _well_formed(pan, expiry, service_code):
            return False
        expected = self.cvv(program, pan, expiry, service_code).reveal()
        return hmac.compare_digest(expected.encode(), code.reveal().encode())


def _well_formed(pan: Pan, expiry: str, service_code: str) -> bool:
    """Whether the elements are what the algorithm takes: psec's own errors would quote them."""
    return _digits(pan.reveal(), 1, _PAN_DIGITS_MAX) and _digits(expiry, 4, 4) and _digits(service_code, 3, 3)


def _digits(text: str, shortest: int, longest: int) -> bool:
    return shortest <= len(text) <= longest and text.isascii() and text.isdigit()


def _cvk(program: str, key: Secret) -> bytes:
    try:
        binary = bytes.fromhex(key.reveal())
    except ValueError:
        raise ConfigurationError(f"program {program}: the card verification key is not hexadecimal") from None
    if len(binary) != CVK_BYTES:
        raise ConfigurationError(f"program {program}: a card verification key of {CVK_BYTES} bytes is needed")
    return binary

"""Keys from files that the service manager hands over (systemd ``LoadCredential``, or a 0400 file).

Each file holds one key as hex digits on one line. Keys never come from the environment or the database (PCI DSS
3.6, 3.7: fewest places, fewest forms). An error names the file and what is wrong with it, never what is in it.
"""

from __future__ import annotations

import stat
from pathlib import Path

from switch.contracts.errors import ConfigurationError
from switch.contracts.secret import Secret

__all__ = ["CVK_BYTES", "DATA_KEY_BYTES", "LOOKUP_KEY_BYTES", "load_cvk", "load_key"]

LOOKUP_KEY_BYTES = 32
"""HMAC-SHA-256: a key as long as the digest."""

DATA_KEY_BYTES = 32
"""AES-256."""

CVK_BYTES = 16
"""A card verification key is a pair of DES keys (CVK A and CVK B)."""

# A key file is tens of bytes; anything larger is some other file and is not read into memory.
_FILE_BYTES_MAX = 1024


def load_key(path: Path, *, length_bytes: int) -> bytes:
    """The key in the file, as ``length_bytes`` bytes.

    Raises:
        ConfigurationError: the file is missing, not a regular file, readable or writable by everybody, not hex, of
        another
            length, or holds one byte repeated (a forgotten placeholder, not a key).
    """
    text = _read_private(path)
    try:
        key = bytes.fromhex(text)
    except ValueError:
        # "from None": the original message quotes a position, and its frame holds the text.
        raise ConfigurationError(f"key file {path}: not hexadecimal digits") from None
    if len(key) != length_bytes:
        raise ConfigurationError(f"key file {path}: {length_bytes} bytes needed, {len(key)} found")
    if len(set(key)) == 1:
        raise ConfigurationError(f"key file {path}: one byte repeated is a placeholder, not a key")
    return key


def load_cvk(path: Path) -> Secret:
    """The card verification key in the file: 32 hex digits, as ``SecurityCodes`` takes it.

    Raises:
        ConfigurationError: as :func:`load_key`.
    """
    return Secret(load_key(path, length_bytes=CVK_BYTES).hex().upper())


def _read_private(path: Path) -> str:
    """The text of a file that not everybody can read."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(f"key file {path}: not a regular file")
        if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
            mode = stat.S_IMODE(status.st_mode)
            raise ConfigurationError(f"key file {path}: mode {mode:04o} lets everybody in; 0400 or 0600 is needed")
        if status.st_size > _FILE_BYTES_MAX:
            raise ConfigurationError(f"key file {path}: {status.st_size} bytes is too long for a key")
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(f"key file {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigurationError(f"key file {path}: not hexadecimal digits") from None

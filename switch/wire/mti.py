"""What the four digits of a message type say by the standard, whatever a dialect does with them. Pure."""

from __future__ import annotations

__all__ = ["mti_meaning"]

_VERSIONS = {"0": "1987", "1": "1993", "2": "2003"}
_CLASSES = {
    "1": "authorization",
    "2": "financial",
    "3": "file action",
    "4": "reversal or chargeback",
    "5": "reconciliation",
    "6": "administrative",
    "7": "fee collection",
    "8": "network management",
}
_FUNCTIONS = {
    "0": "request",
    "1": "request response",
    "2": "advice",
    "3": "advice response",
    "4": "notification",
    "5": "notification acknowledgement",
    "6": "instruction",
    "7": "instruction acknowledgement",
}
_ORIGINS = {
    "0": "",
    "1": ", repeat",
    "2": ", from the issuer",
    "3": ", from the issuer, repeat",
    "4": ", from another party",
    "5": ", from another party, repeat",
}


def mti_meaning(mti: str) -> str:
    """For example "authorization request, repeat (1987)" for 0101; empty for what is no message type."""
    if len(mti) != 4 or not (mti.isascii() and mti.isdecimal()):
        return ""
    version, group, function, origin = tuple(mti)
    if version not in _VERSIONS or group not in _CLASSES or function not in _FUNCTIONS or origin not in _ORIGINS:
        return "reserved by the standard"
    return f"{_CLASSES[group]} {_FUNCTIONS[function]}{_ORIGINS[origin]} ({_VERSIONS[version]})"

"""A pcap file of what went over a socket, for programs that read captures. Nothing is captured: it is written from the bytes.

Ethernet, IPv4 and TCP headers with right checksums and running sequence numbers, and the three segments that open a
connection, so that a reader sees a whole stream.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["CLIENT", "SERVER", "pcap"]

CLIENT, SERVER = "client", "server"

_ETHERNET, _IPV4, _TCP = 1, 0x0800, 6
_SYN, _PUSH, _ACK = 0x02, 0x08, 0x10
_ADDRESSES = {CLIENT: b"\x7f\x00\x00\x02", SERVER: b"\x7f\x00\x00\x01"}
_HARDWARE = {CLIENT: b"\x02\x00\x00\x00\x00\x02", SERVER: b"\x02\x00\x00\x00\x00\x01"}
_CLIENT_PORT = 40_000


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\x00" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _frame(sender: str, port: int, sequence: int, acknowledged: int, flags: int, data: bytes) -> bytes:
    receiver = CLIENT if sender == SERVER else SERVER
    source, target = _ADDRESSES[sender], _ADDRESSES[receiver]
    ports = (_CLIENT_PORT, port) if sender == CLIENT else (port, _CLIENT_PORT)

    def tcp(checksum: int) -> bytes:
        return struct.pack("!HHIIBBHHH", *ports, sequence, acknowledged, 5 << 4, flags, 65_535, checksum, 0) + data

    length = len(tcp(0))
    pseudo = source + target + struct.pack("!BBH", 0, _TCP, length)

    def ip(checksum: int) -> bytes:
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + length, 0, 0, 64, _TCP, checksum, source, target)

    ethernet = _HARDWARE[receiver] + _HARDWARE[sender] + struct.pack("!H", _IPV4)
    return ethernet + ip(_checksum(ip(0))) + tcp(_checksum(pseudo + tcp(0)))


def pcap(port: int, exchanged: Sequence[tuple[str, bytes]]) -> bytes:
    """``exchanged``: who sent (``CLIENT`` or ``SERVER``, which listens on ``port``) and the bytes, in order."""
    sent = {CLIENT: 1, SERVER: 1}
    frames = [
        _frame(CLIENT, port, 0, 0, _SYN, b""),
        _frame(SERVER, port, 0, 1, _SYN | _ACK, b""),
        _frame(CLIENT, port, 1, 1, _ACK, b""),
    ]
    for sender, data in exchanged:
        receiver = CLIENT if sender == SERVER else SERVER
        frames.append(_frame(sender, port, sent[sender], sent[receiver], _PUSH | _ACK, data))
        sent[sender] += len(data)
    written = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, _ETHERNET)
    for number, frame in enumerate(frames):
        written += struct.pack("<IIII", 1_700_000_000, number, len(frame), len(frame)) + frame
    return written

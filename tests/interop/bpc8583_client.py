"""One exchange with bpc8583, as its own program: host, port and then field=value on the command line, JSON on stdout.

Nothing of the switch is imported here.
"""

import json
import socket
import struct
import sys

from bpc8583.ISO8583 import ISO8583, LT  # type: ignore[import-not-found,unused-ignore]  # often not installed
from bpc8583.spec import IsoSpec1987CUP  # type: ignore[import-not-found,unused-ignore]  # often not installed


def exactly(connection: socket.socket, length: int) -> bytes:
    """``length`` bytes."""
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise EOFError("closed")
        data += more
    return data


def main() -> None:
    """Builds, sends, receives, parses."""
    host, port, *pairs = sys.argv[1:]
    fields = dict(pair.split("=", 1) for pair in pairs)
    spec = IsoSpec1987CUP()
    request = ISO8583(None, spec)
    request.MTI(fields.pop("t"))
    for key, value in fields.items():
        # It wants a number where a field is digits of a fixed length.
        as_number = spec.ContentType(int(key)) == "n" and spec.LengthType(int(key)) == LT.FIXED
        request.FieldData(int(key), int(value) if as_number else value)
    payload = request.BuildIso()
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(struct.pack(">H", len(payload)) + payload)
        (length,) = struct.unpack(">H", exactly(connection, 2))
        answer = ISO8583(exactly(connection, length), IsoSpec1987CUP())
    found = {"t": str(answer.get_MTI())}
    found |= {str(key): str(answer.FieldData(key)) for key in range(2, 65) if answer.Field(key)}
    sys.stdout.write(json.dumps(found))


main()

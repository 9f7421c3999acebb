"""The echo responder: ``python -m simulators.bench.echo``. Answers every request at once with an approval made before.

It prints its port as the first line and ends with stdin. Only the STAN is copied from request to answer. What the
load generator reaches against it is the generator's own ceiling (with the responder on the same cores).
"""

from __future__ import annotations

import select
import socket
import sys

from simulators.bench.frames import bench_codec, framed, place, sample_answer, sample_fields

__all__ = ["EchoResponder"]

_READ_BYTES = 262_144


class EchoResponder:
    """Listens on a free port of the loopback; :meth:`serve` runs until ``until`` becomes readable."""

    def __init__(self) -> None:
        codec = bench_codec()
        request, answer = sample_fields(), sample_answer(codec.dialect)
        self._stan_at = 2 + place(codec, request, "11")
        frame = framed(codec.encode(answer))
        cut = 2 + place(codec, answer, "11")
        self._before, self._after = frame[:cut], frame[cut + 6 :]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def serve(self, until: int) -> None:
        """``until``: a file descriptor."""
        rests: dict[socket.socket, bytes] = {}
        with self._listener:
            while True:
                waited_for: list[socket.socket | int] = [self._listener, until, *rests]
                readable = select.select(waited_for, (), ())[0]
                if until in readable:
                    break
                for sock in readable:
                    assert isinstance(sock, socket.socket), "the only number is `until`"
                    if sock is self._listener:
                        rests[self._listener.accept()[0]] = b""
                    elif (rest := self._answer(sock, rests[sock])) is None:
                        sock.close()
                        del rests[sock]
                    else:
                        rests[sock] = rest
        for sock in rests:
            sock.close()

    def _answer(self, sock: socket.socket, rest: bytes) -> bytes | None:
        """Answers what has arrived; the bytes of an incomplete request, or None at the end of the connection."""
        try:
            piece = sock.recv(_READ_BYTES)
        except ConnectionResetError:  # the generator was killed
            return None
        if not piece:
            return None
        data = rest + piece
        before, after, stan_at = self._before, self._after, self._stan_at
        answers: list[bytes] = []
        at, size = 0, len(data)
        while size - at >= 2:
            end = at + 2 + (data[at] << 8 | data[at + 1])
            if end > size:
                break
            answers += (before, data[at + stan_at : at + stan_at + 6], after)
            at = end
        if answers:
            sock.sendall(b"".join(answers))
        return data[at:]


def main() -> None:
    """The port on stdout, then answers until stdin ends."""
    responder = EchoResponder()
    print(responder.port, flush=True)
    responder.serve(sys.stdin.fileno())


if __name__ == "__main__":
    main()

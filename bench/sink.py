#!/usr/bin/env python3
"""The stand-in for Cloud Storage (tests/stubs/gcs.py) as a sink: bodies of XML uploads are dropped where they arrive.

The stub sums what it takes in Python, some 0.1 GB/s: too slow to measure an uploader. Here the kernel throws the bytes away
(recv with MSG_TRUNC copies nothing) and the checksum that the client promised is believed. All else is the stub's own.
"""

import hashlib
import itertools
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/stubs"))

import crc32c  # noqa: E402
from gcs import Gcs  # noqa: E402
from gcs_access import Tokens, xml_error  # noqa: E402
from gcs_store import Store  # noqa: E402
from service import BodyCut, Listener, Refused, Request, options, serve  # noqa: E402

BLOCK = 4 << 20


class Dropped:
    """What is known of bytes that are gone: their number and their promised CRC-32C."""

    _numbers = itertools.count()

    def __init__(self, size: int, crc: int):
        self.size, self._crc = size, crc
        self._md5 = hashlib.md5(str(next(self._numbers)).encode()).digest()  # made up; tells parts apart

    @property
    def crc(self):
        return _Number(self._crc)

    def md5(self) -> bytes:
        return self._md5

    def finish(self) -> "Dropped":
        return self

    def discard(self) -> None:
        pass

    def is_current(self) -> bool:
        return True

    def read(self, begin: int, end: int) -> bytes:
        raise NotImplementedError("the bytes are gone")


class _Number(int):
    """A spool tells its CRC as an attribute, a content as a method; this is both."""

    def __call__(self) -> int:
        return int(self)


class SinkStore(Store):
    def joined(self, pieces):
        if not any(isinstance(piece, Dropped) for piece in pieces):
            return super().joined(pieces)
        crc = 0
        for piece in pieces:
            crc = crc32c.combine(crc, piece.crc(), piece.size)
        return Dropped(sum(piece.size for piece in pieces), crc)


class Sink(Gcs):
    def _xml_body(self, request: Request, largest: int) -> Dropped:
        source, connection, left = request._handler.rfile, request._handler.connection, request._left
        size, block = left, bytearray(BLOCK)
        if size > largest:
            raise Refused(xml_error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."))
        if left:
            left -= len(source.read1(left))  # what came with the head; the reader's own buffer is empty then
        while left:
            count = connection.recv_into(block, min(left, BLOCK), socket.MSG_TRUNC)
            if not count:
                raise BodyCut(b"")
            left -= count
        request._left, request._is_over = 0, True
        request.entry["bytes_in"] = size
        return Dropped(size, crc32c.decode(self.hash_header(request).get("crc32c", "")) or 0)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--bucket", action="append", default=[], help="a bucket that exists")
    given = parser.parse_args()
    serve(Listener(Sink(SinkStore(given.bucket, None), Tokens(None, None), set(), 1000), given.port))


if __name__ == "__main__":
    main()

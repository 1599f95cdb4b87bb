"""CRC-32C (Castagnoli): the stubs check uploads with it, and only have the standard library.

Large pieces go to isa-l where that library is there (the program needs it, too): some GB/s. Else, and for small ones, this is pure
Python at some 100 MB/s; validation/test_rules_gcs.py holds the two to each other.

A CRC is linear, so a block is cut into lanes that advance side by side: the four bytes of all lanes' states lie in four
long integers, and a table look-up of every lane is one `bytes.translate`. The lanes' results are then joined as the CRCs of
consecutive pieces. The check value of "123456789" is 0xE3069283.
"""

import base64
import ctypes
import functools
import os

POLYNOMIAL = 0x82F63B78  # reflected
BLOCKS = ((4096, 1024), (1024, 256), (256, 64), (128, 16))  # (lanes, bytes of a lane), the largest that fits first


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()
PLANES = tuple(bytes(value >> (8 * byte) & 255 for value in TABLE) for byte in range(4))


def _multiply(a: int, b: int) -> int:
    """a(x) * b(x) modulo the polynomial, in the reflected order (the highest bit is x^0)."""
    product, bit = 0, 1 << 31
    while bit and a & (2 * bit - 1):  # a bit of `a` is left
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ (POLYNOMIAL if b & 1 else 0)
    return product


def _powers() -> list[int]:
    powers = [1 << 30]  # x
    while len(powers) < 70:
        powers.append(_multiply(powers[-1], powers[-1]))
    return powers


POWERS = _powers()  # x^(2^n)


@functools.lru_cache(4096)
def _shift(size: int) -> int:
    """x^(8 * size): what `size` bytes more do to a CRC."""
    result, power = 1 << 31, 3
    while size:
        if size & 1:
            result = _multiply(POWERS[power], result)
        size >>= 1
        power += 1
    return result


@functools.lru_cache(16)
def _shift_tables(size: int) -> tuple[list[int], ...]:
    factor = _shift(size)
    return tuple([_multiply(factor, value << (8 * byte)) for value in range(256)] for byte in range(4))


def _block(data, lanes: int, length: int) -> int:
    """The CRC, from a state of 0 and without the last inversion, of lanes * length bytes."""
    number = int.from_bytes
    plane0, plane1, plane2, plane3 = PLANES
    s0 = s1 = s2 = s3 = 0
    for column in range(length):
        index = (s0 ^ number(data[column::length], "little")).to_bytes(lanes, "little")
        s0 = s1 ^ number(index.translate(plane0), "little")
        s1 = s2 ^ number(index.translate(plane1), "little")
        s2 = s3 ^ number(index.translate(plane2), "little")
        s3 = number(index.translate(plane3), "little")
    a, b, c, d = _shift_tables(length)
    state = 0
    for b0, b1, b2, b3 in zip(*(plane.to_bytes(lanes, "little") for plane in (s0, s1, s2, s3))):
        state = (a[state & 255] ^ b[state >> 8 & 255] ^ c[state >> 16 & 255] ^ d[state >> 24]
                 ^ b0 ^ b1 << 8 ^ b2 << 16 ^ b3 << 24)
    return state


SMALLEST_FOR_LIBRARY = 256  # bytes; the call costs more than fewer
PIECE_BYTES = 256 << 10  # of a file: what the processor's caches hold; larger ones take twice the time


def _library():
    """isa-l's function; None where it is not there."""
    try:
        function = ctypes.CDLL("libisal.so.2").crc32_iscsi
    except (OSError, AttributeError):
        return None
    function.restype, function.argtypes = ctypes.c_uint32, (ctypes.c_char_p, ctypes.c_int, ctypes.c_uint32)
    return function


LIBRARY = _library()


def crc32c(data, crc: int = 0) -> int:
    """The CRC-32C of what `crc` is the CRC of, followed by `data`."""
    data = bytes(data)
    if LIBRARY and SMALLEST_FOR_LIBRARY <= len(data) < 1 << 31:
        return LIBRARY(data, len(data), crc ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return in_python(data, crc)


def in_python(data: bytes, crc: int = 0) -> int:
    """The same without the library."""
    state, at = crc ^ 0xFFFFFFFF, 0
    for lanes, length in BLOCKS:
        size = lanes * length
        while len(data) - at >= size:
            state = _multiply(_shift(size), state) ^ _block(data[at:at + size], lanes, length)
            at += size
    for byte in data[at:]:
        state = TABLE[(state ^ byte) & 255] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def combine(first: int, second: int, second_size: int) -> int:
    """The CRC-32C of two consecutive pieces, from theirs."""
    return _multiply(_shift(second_size), first) ^ second


@functools.lru_cache(256)
def of_zeros(size: int) -> int:
    return _multiply(_shift(size), 0xFFFFFFFF) ^ 0xFFFFFFFF


def of_file(path: str) -> int:
    """The CRC-32C of a file; the holes of a sparse one are not read, so a terabyte of them costs nothing."""
    crc, at = 0, 0
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
                end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            except OSError:  # no data behind `at`, or a file system that cannot tell: then all is data
                begin, end = (size, size) if _tells_holes(file.fileno()) else (at, size)
            crc = combine(crc, of_zeros(begin - at), begin - at)
            file.seek(begin)
            at = begin
            while at < end and (piece := file.read(min(PIECE_BYTES, end - at))):
                crc = crc32c(piece, crc)
                at += len(piece)
            if at < end:
                break  # it shrank under us
    return crc


def _tells_holes(descriptor: int) -> bool:
    try:
        os.lseek(descriptor, 0, os.SEEK_HOLE)
    except OSError:
        return False
    return True


def encode(crc: int) -> str:
    """As the services write it: base64 of the big-endian 32 bits."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def decode(text: str) -> int | None:
    """The number of the written form; None for another text."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return int.from_bytes(raw, "big") if len(raw) == 4 else None

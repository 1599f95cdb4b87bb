"""Reads a GGUF file (versions 2 and 3): keys, tensors, and their float32 values. numpy and the standard library only.

Written from the format's text, beside and apart from the program's own reader and the gguf package.
Block layouts (d, m: fp16): Q4_0, IQ4_NL d, 16 bytes of nibbles; Q4_1 d, m, 16 bytes; Q5_0, Q5_1 like them with 4 bytes of fifth bits
before the nibbles; Q8_0 d, 32 int8; Q2_K 16 + 64 bytes, d, m; Q3_K 32 + 64 + 12 bytes, d; Q4_K d, m, 12 + 128 bytes; Q5_K d, m,
12 + 32 + 128 bytes; Q6_K 128 + 64 + 16 bytes, d; IQ4_XS d, 2 + 4 + 128 bytes.
"""

import mmap
import os
import struct
from dataclasses import dataclass

import numpy as np

import bfloat16

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
STRING, ARRAY = 8, 9
# type id: name, elements in a block, bytes of a block
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24),
         8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
         14: ("Q6_K", 256, 210), 20: ("IQ4_NL", 32, 18), 23: ("IQ4_XS", 256, 136), 28: ("F64", 1, 8), 30: ("BF16", 1, 2)}
IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)


@dataclass(frozen=True)
class Tensor:
    """A tensor's type, row-major shape, and where its blocks lie in the file."""

    type: str
    shape: tuple
    begin: int
    size: int


class _Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, code):
        (value,) = struct.unpack_from(code, self.data, self.at)
        self.at += struct.calcsize(code)
        return value

    def string(self):
        length = self.take("<Q")
        text = bytes(self.data[self.at : self.at + length])
        self.at += length
        return text.decode("utf-8", "surrogateescape")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.take(SCALARS[kind])
        inner, count = self.take("<I"), self.take("<Q")
        if inner in (STRING, ARRAY):
            return [self.value(inner) for _ in range(count)]
        code = SCALARS[inner]
        values = struct.unpack_from(f"<{count}{code[1]}", self.data, self.at)
        self.at += count * struct.calcsize(code)
        return list(values)


class GgufFile:
    """An open file: `keys` of the header, `tensors` by name."""

    def __init__(self, path):
        self.path = os.fspath(path)
        with open(self.path, "rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        cursor = _Cursor(self._data)
        magic, version = bytes(self._data[:4]), struct.unpack_from("<I", self._data, 4)[0]
        if magic != b"GGUF" or version not in (2, 3):
            raise ValueError(f"{self.path}: magic {magic!r}, version {version}")
        cursor.at = 8
        tensor_count, key_count = cursor.take("<Q"), cursor.take("<Q")
        self.keys = {}
        for _ in range(key_count):
            name = cursor.string()
            self.keys[name] = cursor.value(cursor.take("<I"))
        rows = []
        for _ in range(tensor_count):
            name, rank = cursor.string(), cursor.take("<I")
            extents = [cursor.take("<Q") for _ in range(rank)]
            rows.append((name, extents, cursor.take("<I"), cursor.take("<Q")))
        alignment = self.keys.get("general.alignment", 32)
        start = -(-cursor.at // alignment) * alignment
        self.tensors = {}
        for name, extents, kind, offset in rows:
            if kind not in TYPES:
                raise ValueError(f"{self.path}: {name} has ggml type {kind}, which this judge does not read")
            label, block, block_bytes = TYPES[kind]
            size = int(np.prod(extents, dtype=np.int64)) // block * block_bytes
            self.tensors[name] = Tensor(label, tuple(reversed(extents)), start + offset, size)

    def float32(self, name):
        """The tensor's values as float32, each made by one multiplication and at most one addition."""
        tensor = self.tensors[name]
        raw = np.frombuffer(self._data, np.uint8, tensor.size, tensor.begin)
        return dequantize(tensor.type, raw).reshape(tensor.shape)


def dequantize(label, raw):
    """float32 values, flat, of a run of whole blocks."""
    if label == "F32":
        return raw.view(np.float32)
    if label == "F16":
        return raw.view(np.float16).astype(np.float32)
    if label == "BF16":
        return bfloat16.to_float32(raw.view(np.uint16))
    if label == "F64":
        return raw.view(np.float64).astype(np.float32)
    return {"Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "Q8_0": _q8_0, "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k,
            "Q5_K": _q5_k, "Q6_K": _q6_k, "IQ4_NL": _iq4_nl, "IQ4_XS": _iq4_xs}[label](raw)


def _half(raw):
    """fp16 fields [blocks, 2] bytes -> float32 [blocks, 1]."""
    return np.ascontiguousarray(raw).view(np.float16).astype(np.float32)


def _nibbles(packed):
    """Low nibbles are the block's first 16 elements, high nibbles its last 16."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _q4_0(raw):
    blocks = raw.reshape(-1, 18)
    q = _nibbles(blocks[:, 2:]).astype(np.int8) - np.int8(8)
    return (_half(blocks[:, :2]) * q.astype(np.float32)).ravel()


def _q4_1(raw):
    blocks = raw.reshape(-1, 20)
    q = _nibbles(blocks[:, 4:]).astype(np.float32)
    return (_half(blocks[:, :2]) * q + _half(blocks[:, 2:4])).ravel()


def _fives(packed):
    """Four bytes of fifth bits, one for each element in order, and the nibbles."""
    fifth = np.unpackbits(packed[:, :4], axis=1, bitorder="little")
    return (_nibbles(packed[:, 4:]) + 16 * fifth).astype(np.float32)


def _q5_0(raw):
    blocks = raw.reshape(-1, 22)
    return (_half(blocks[:, :2]) * (_fives(blocks[:, 2:]) - np.float32(16))).ravel()


def _q5_1(raw):
    blocks = raw.reshape(-1, 24)
    return (_half(blocks[:, :2]) * _fives(blocks[:, 4:]) + _half(blocks[:, 2:4])).ravel()


def _iq4_nl(raw):
    blocks = raw.reshape(-1, 18)
    return (_half(blocks[:, :2]) * IQ4[_nibbles(blocks[:, 2:])]).ravel()


def _iq4_xs(raw):
    blocks = raw.reshape(-1, 136)
    upper = np.unpackbits(blocks[:, 2:4], axis=1, bitorder="little").reshape(-1, 8, 2)
    lower = np.stack([blocks[:, 4:8] & 15, blocks[:, 4:8] >> 4], axis=2).reshape(-1, 8)
    scales = (lower + 16 * upper[:, :, 0] + 32 * upper[:, :, 1]).astype(np.float32) - np.float32(32)
    q = IQ4[_nibbles(blocks[:, 8:].reshape(-1, 16))].reshape(-1, 8, 32)
    return ((_half(blocks[:, :2]) * scales)[:, :, None] * q).ravel()


def _pairs(packed):
    """[blocks, 64] bytes of four 2-bit values: each 32 bytes hold 128 elements, a bit pair for every 32 of them."""
    halves = packed.reshape(-1, 2, 1, 32)
    return (halves >> np.array([0, 2, 4, 6], np.uint8)[:, None] & 3).reshape(-1, 256)


def _q2_k(raw):
    blocks = raw.reshape(-1, 84)
    scale = _half(blocks[:, 80:82]) * (blocks[:, :16] & 15).astype(np.float32)
    minimum = _half(blocks[:, 82:]) * (blocks[:, :16] >> 4).astype(np.float32)
    q = _pairs(blocks[:, 16:80]).reshape(-1, 16, 16).astype(np.float32)
    return (scale[:, :, None] * q - minimum[:, :, None]).ravel()


def _q3_k(raw):
    blocks = raw.reshape(-1, 110)
    third = (blocks[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 256)  # bit e / 32 of byte e % 32
    packed = blocks[:, 96:108]
    low = np.concatenate([packed[:, :8] & 15, packed[:, :8] >> 4], axis=1)
    high = np.concatenate([packed[:, 8:] >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    scales = (low | high << 4).astype(np.float32) - np.float32(32)
    q = (_pairs(blocks[:, 32:96]) + 4 * third).astype(np.float32) - np.float32(4)
    return ((_half(blocks[:, 108:]) * scales)[:, :, None] * q.reshape(-1, 16, 16)).ravel()


def _scaled_by_sub_blocks(blocks, q):
    """Q4_K and Q5_K: eight sub-blocks of 32, their scales and minima of 6 bits in 12 bytes."""
    a, b, c = (blocks[:, at:at + 4] for at in (4, 8, 12))
    scales = np.concatenate([a & 63, (c & 15) | (a >> 6 << 4)], axis=1).astype(np.float32)
    minima = np.concatenate([b & 63, (c >> 4) | (b >> 6 << 4)], axis=1).astype(np.float32)
    scale, minimum = _half(blocks[:, :2]) * scales, _half(blocks[:, 2:4]) * minima
    return (scale[:, :, None] * q.reshape(-1, 8, 32).astype(np.float32) - minimum[:, :, None]).ravel()


def _groups(packed):
    """[blocks, 128] bytes of nibbles: 32 bytes hold a sub-block in their low halves, the next one in their high halves."""
    groups = packed.reshape(-1, 4, 32)
    return np.stack([groups & 15, groups >> 4], axis=2).reshape(-1, 256)


def _q4_k(raw):
    blocks = raw.reshape(-1, 144)
    return _scaled_by_sub_blocks(blocks, _groups(blocks[:, 16:]))


def _q5_k(raw):
    blocks = raw.reshape(-1, 176)
    fifth = (blocks[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None] & 1).reshape(-1, 256)
    return _scaled_by_sub_blocks(blocks, _groups(blocks[:, 48:]) + 16 * fifth)


def _q8_0(raw):
    blocks = raw.reshape(-1, 34)
    return (_half(blocks[:, :2]) * blocks[:, 2:].view(np.int8).astype(np.float32)).ravel()


def _q6_k(raw):
    blocks = raw.reshape(-1, 210)
    low = blocks[:, :128].reshape(-1, 2, 2, 32)  # [block, half of 128 elements, first or second 32 bytes, l]
    high = blocks[:, 128:192].reshape(-1, 2, 32)
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    quarters = [
        (low[:, :, 0] & 15) | ((high & 3) << 4),
        (low[:, :, 1] & 15) | (((high >> 2) & 3) << 4),
        (low[:, :, 0] >> 4) | (((high >> 4) & 3) << 4),
        (low[:, :, 1] >> 4) | (((high >> 6) & 3) << 4),
    ]
    q = np.stack(quarters, axis=2).reshape(-1, 16, 16).astype(np.float32) - np.float32(32)
    scale = _half(blocks[:, 208:]) * scales
    return (scale[:, :, None] * q).ravel()

"""Reads a safetensors file: the judge's own reading of the format, standard library only.

Layout: u64 little endian N, N bytes of JSON, then the tensors; data_offsets count from byte 8 + N.
The program under test writes these files, so nothing here comes from it or from the safetensors package.
"""

import json
import mmap
import os
import struct
from dataclasses import dataclass

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64,
}


@dataclass(frozen=True)
class Entry:
    """One tensor: dtype in the format's words, shape, and [begin, end) counted from the data's first byte."""

    dtype: str
    shape: tuple
    begin: int
    end: int

    @property
    def elements(self):
        count = 1
        for extent in self.shape:
            count *= extent
        return count


def _no_duplicates(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a name appears twice: {sorted(n for n in set(names) if names.count(n) > 1)}")
    return dict(pairs)


class SafetensorsFile:
    """An open file; `entries` by name, in the header's order. Raises ValueError for a file that breaks the format."""

    def __init__(self, path):
        self.path = os.fspath(path)
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if 8 + length > size:
                raise ValueError(f"{self.path}: header of {length} bytes in a file of {size}")
            self.header_text = file.read(length)
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = json.loads(self.header_text, object_pairs_hook=_no_duplicates)
        self.metadata = header.pop("__metadata__", None)
        self.data_start = 8 + length
        self.entries = {
            name: Entry(e["dtype"], tuple(e["shape"]), *e["data_offsets"]) for name, e in header.items()
        }
        self._check(size)

    def _check(self, size):
        cursor = 0
        for name, entry in sorted(self.entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if entry.begin != cursor:
                raise ValueError(f"{self.path}: {name} begins at {entry.begin}, the tensor before it ends at {cursor}")
            if entry.elements * BITS[entry.dtype] != 8 * (entry.end - entry.begin):
                raise ValueError(f"{self.path}: {name} {entry.dtype} {entry.shape} in {entry.end - entry.begin} bytes")
            cursor = entry.end
        if self.data_start + cursor != size:
            raise ValueError(f"{self.path}: data ends at {self.data_start + cursor}, the file at {size}")

    def bytes_of(self, name):
        """The tensor's bytes as a memoryview into the file: nothing is copied."""
        entry = self.entries[name]
        return memoryview(self._map)[self.data_start + entry.begin : self.data_start + entry.end]


def encode(tensors, metadata=None):
    """A safetensors file, as bytes, of {name: (dtype, shape, bytes)} in the given order, unpadded: for test inputs."""
    header, cursor, parts = {}, 0, []
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [cursor, cursor + len(data)]}
        cursor += len(data)
        parts.append(bytes(data))
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(parts)

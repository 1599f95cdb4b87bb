"""Writes PyTorch files without torch: zip and legacy, as torch.save lays them out, and files that it never would write.

Tensors are (dtype, shape, bytes) in safetensors' words, or a View of a named storage. Nothing is pickled: opcodes are put down
one by one, so that a test can also write what no pickler would.
"""

import struct
import zlib
from dataclasses import dataclass

STORAGES = {"F64": ("DoubleStorage", 8), "F32": ("FloatStorage", 4), "F16": ("HalfStorage", 2), "BF16": ("BFloat16Storage", 2),
            "I64": ("LongStorage", 8), "I8": ("CharStorage", 1), "U8": ("ByteStorage", 1)}
MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
CHUNK = 1 << 20


@dataclass(frozen=True)
class View:
    """A tensor that is a view of a storage: offset and strides in elements."""

    storage: str
    dtype: str
    shape: tuple
    stride: tuple
    offset: int = 0


class SparseData:
    """Bytes of a storage of which only some are not zero: blocks {offset: bytes}, never held whole."""

    def __init__(self, size, blocks):
        self.size, self.blocks = size, dict(sorted(blocks.items()))

    def __len__(self):
        return self.size

    def crc32(self):
        crc, at, zeros = 0, 0, bytes(CHUNK)
        for offset, block in [*self.blocks.items(), (self.size, b"")]:
            while at < offset:
                step = min(CHUNK, offset - at)
                crc, at = zlib.crc32(zeros[:step], crc), at + step
            crc, at = zlib.crc32(block, crc), at + len(block)
        return crc

    def write(self, file):
        begin = file.tell()
        for offset, block in self.blocks.items():
            file.seek(begin + offset)
            file.write(block)
        file.seek(begin + self.size)
        file.truncate()


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def integer(value):
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def integers(values):
    return b"(" + b"".join(map(integer, values)) + b"t"


def contiguous(shape):
    strides, step = [], 1
    for extent in reversed(shape):
        strides.insert(0, step)
        step *= extent
    return tuple(strides)


def tensor_opcodes(view, elements, legacy):
    """What rebuilds a view of a storage of so many elements."""
    kind, _ = STORAGES[view.dtype]
    identity = (b"(" + text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(view.storage) + text("cpu") + integer(elements)
                + (b"N" if legacy else b"") + b"tQ")
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + integer(view.offset) + integers(view.shape)
            + integers(view.stride) + b"\x89ccollections\nOrderedDict\n)RtR")


def state_dict(tensors, storages, legacy=False):
    """The pickle of {name: View}; `storages`: {key: bytes}."""
    body = b"\x80\x02}("
    for name, view in tensors.items():
        elements = len(storages[view.storage]) // STORAGES[view.dtype][1]
        body += text(name) + tensor_opcodes(view, elements, legacy)
    return body + b"u."


def split(tensors):
    """({name: View}, {key: bytes}): a storage for each tensor that is not a View already."""
    views, storages = {}, {}
    for name, (dtype, shape, data) in tensors.items():
        key = str(len(storages))
        storages[key] = data
        views[name] = View(key, dtype, tuple(shape), contiguous(shape))
    return views, storages


def write_zip(path, records):
    """A zip of stored records [(name, bytes or SparseData, crc or None)], with torch's zeros in the local headers."""
    directory = b""
    with open(path, "wb") as file:
        for name, data, crc in records:
            crc = crc if crc is not None else data.crc32() if isinstance(data, SparseData) else zlib.crc32(data)
            at, label = file.tell(), name.encode()
            pad = -(at + 30 + len(label) + 4) % 64
            file.write(struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, 0x0808, 0, 0, 0, 0, 0, 0, len(label), 4 + pad) + label)
            file.write(b"FB" + struct.pack("<H", pad) + b"Z" * pad)
            if isinstance(data, SparseData):
                data.write(file)
            else:
                file.write(data)
            file.write(struct.pack("<IIQQ", 0x08074B50, crc, len(data), len(data)))
            extra = struct.pack("<HHQQQ", 1, 24, len(data), len(data), at)
            directory += struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, 0x0808, 0, 0, 0, crc, 0xFFFFFFFF, 0xFFFFFFFF,
                                     len(label), len(extra), 0, 0, 0, 0, 0xFFFFFFFF) + label + extra
        begin = file.tell()
        file.write(directory)
        end = file.tell()
        file.write(struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, len(records), len(records), end - begin, begin))
        file.write(struct.pack("<IIQI", 0x07064B50, 0, end, 1))
        file.write(struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0))


def write_pickle(path, pickle, storages=None, order="little", crcs=None):
    """A file of torch.save (since 1.6) with this very pickle."""
    data = [(f"archive/data/{key}", value, (crcs or {}).get(key)) for key, value in (storages or {}).items()]
    write_zip(path, [("archive/data.pkl", pickle, None), ("archive/byteorder", order.encode(), None), *data,
                     ("archive/version", b"3\n", None)])


def write(path, tensors, **options):
    """{name: (dtype, shape, bytes)} as torch.save does it."""
    views, storages = split(tensors)
    write_pickle(path, state_dict(views, storages), storages, **options)


def write_views(path, views, storages, **options):
    write_pickle(path, state_dict(views, storages), storages, **options)


def write_legacy(path, tensors):
    """The same as before torch 1.6: five pickles, then the storages."""
    views, storages = split(tensors)
    info = b"\x80\x02}(" + text("protocol_version") + integer(1001) + text("little_endian") + b"\x88" + text("type_sizes") + b"}u."
    with open(path, "wb") as file:
        file.write(MAGIC + b"\x80\x02" + integer(1001) + b"." + info + state_dict(views, storages, legacy=True))
        file.write(b"\x80\x02](" + b"".join(map(text, storages)) + b"e.")
        for name, view in views.items():
            data = storages[view.storage]
            file.write(struct.pack("<q", len(data) // STORAGES[tensors[name][0]][1]) + data)

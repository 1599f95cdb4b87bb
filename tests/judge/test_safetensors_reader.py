"""The real safetensors package opens what we write, and would have written the same bytes."""

import json
import struct

import numpy as np
import pytest
from safetensors import TensorSpec, safe_open, serialize

import support
from safetensors_file import SafetensorsFile

KINDS = ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
WORDS = {"BF16": "bfloat16", "I8": "int8", "F32": "float32"}


def reserialised(file):
    """The whole file as the package's own writer makes it of the same tensors."""
    held = {name: np.frombuffer(file.bytes_of(name), np.uint8) for name in file.entries}
    specs = {name: TensorSpec(dtype=WORDS[entry.dtype], shape=entry.shape, data_ptr=held[name].ctypes.data,
                              data_len=len(held[name])) for name, entry in file.entries.items()}
    return serialize(specs, file.metadata)


def assert_reader_agrees(path):
    file = SafetensorsFile(path)
    with safe_open(path, framework="numpy") as theirs:
        assert set(theirs.keys()) == set(file.entries)
        for name, entry in file.entries.items():
            piece = theirs.get_slice(name)
            assert (piece.get_dtype(), tuple(piece.get_shape())) == (entry.dtype, entry.shape), name
            if entry.dtype == "I8":
                assert theirs.get_tensor(name).tobytes() == file.bytes_of(name), name
    theirs = reserialised(file)
    (length,) = struct.unpack("<Q", theirs[:8])
    ours = path.read_bytes()
    assert theirs[8 + length :] == ours[file.data_start :]
    if file.metadata is None:
        assert theirs == ours
    else:  # with several keys the package's writer takes the order of a hash map
        assert json.loads(theirs[8 : 8 + length]) == json.loads(file.header_text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_reader_opens_every_type_and_would_write_it_alike(kind, tmp_path):
    support.small(tmp_path / "in")
    support.convert(tmp_path / "in", tmp_path / "out", kind=kind)
    assert_reader_agrees(tmp_path / "out/model.safetensors")


def test_the_reader_opens_a_real_model(smollm2, disk):
    support.convert(smollm2, disk / "out", kind="int8_per_channel")
    assert_reader_agrees(disk / "out/model.safetensors")

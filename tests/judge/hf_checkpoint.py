"""A Hugging Face checkpoint as its loaders see it: the tensors of a folder, and whether its files are what the reference writes."""

import json
from pathlib import Path

import numpy as np
import safetensors

import support
from safetensors_file import SafetensorsFile

ONE = "model.safetensors"
INDEX = "model.safetensors.index.json"
METADATA = {"format": "pt"}
DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}  # the reference's words
MOST_BYTES = 5_000_000_000


def files_of(folder):
    """Paths of the safetensors files, by name."""
    return sorted(Path(folder).glob("*.safetensors"))


def read(folder):
    """{name: (dtype, shape, bytes)} of all files; a name stands in one of them."""
    tensors = {}
    for path in files_of(folder):
        own = support.read_tensors(path)
        assert not own.keys() & tensors.keys(), path
        tensors |= {name: (dtype, tuple(shape), data) for name, (dtype, shape, data) in own.items()}
    return tensors


def different(ours, theirs):
    """Names that only one of two sets of tensors has, or that differ in type, shape or a byte."""
    return sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))


def reference_bytes(tensors):
    """What the safetensors package writes of {name: (dtype, shape, bytes)}, as save_file does."""
    held = {name: np.frombuffer(data, np.uint8) for name, (_, _, data) in tensors.items()}  # as long as it is read
    specs = {name: safetensors.TensorSpec(dtype=DTYPES[dtype], shape=list(shape), data_ptr=held[name].ctypes.data,
                                          data_len=held[name].nbytes)
             for name, (dtype, shape, _) in tensors.items()}
    return bytes(safetensors.serialize(specs, metadata=METADATA))


def assert_well_made(folder, limit=MOST_BYTES):
    """Files are the reference's to the last byte, within the limit, named in their order, and the index tells of all; returns how many."""
    folder = Path(folder)
    paths = files_of(folder)
    assert paths, folder
    names = [ONE] if len(paths) == 1 else [f"model-{i + 1:05}-of-{len(paths):05}.safetensors" for i in range(len(paths))]
    assert [path.name for path in paths] == names
    total, weight_map = 0, {}
    for path in paths:
        file = SafetensorsFile(path)
        assert file.metadata == METADATA
        tensors = support.read_tensors(path)
        assert path.read_bytes() == reference_bytes(tensors), path
        assert len(tensors) == 1 or path.stat().st_size <= limit, path
        total += sum(len(data) for _, _, data in tensors.values())
        weight_map |= dict.fromkeys(tensors, path.name)
    if len(paths) == 1:
        assert not (folder / INDEX).exists()
    else:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        assert (folder / INDEX).read_text(encoding="utf-8") == json.dumps(index, indent=2, sort_keys=True) + "\n"
    return len(paths)


def convert(source, folder, *flags, expect=0):
    return support.run("convert", source, folder, "--to", "hf", "--quiet", *flags, expect=expect)

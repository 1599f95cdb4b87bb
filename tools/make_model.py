#!/usr/bin/env python3
"""Makes Llama models in Hugging Face form for tests and benchmarks: config.json, safetensors shards and their index.

  make_model.py bench DIR            983.6 MB of random bf16 in two shards (the model of the benchmark)
  make_model.py 8gb DIR [--sparse]   8.03 GB in four shards
  make_model.py 405b DIR             the shape of Llama-3.1-405B, 191 shards, sparse: 812 GB that take little disk
  make_model.py small DIR --layers 2 --dim 256 ...    any dimensions

Values depend on the seed and the dimensions only. Random weights are slices of a pool of normal numbers at random places, so
that making them is as fast as the disk. A sparse model holds zeros except for a planted block of 4 KiB in every --plant-every
bytes of a tensor and at its first and last row; their values follow from tensor name and position (planted_pattern), so a
checker (tests/judge/sparse_check.py) can tell what any element must be. All-zero data would pass every wrong permutation. Standard library only.
"""

import argparse
import array
import functools
import json
import os
import random
import shutil
import struct
import sys
import zlib
from dataclasses import dataclass

BLOCK_BYTES = 4096
POOL_ELEMENTS = 1 << 20
PLANTED_PATTERNS = 2560  # finite bf16 patterns of both signs with magnitudes from 2^-10 up to 1
MIB = 1 << 20
SPARE_BYTES = 2 * 10**9  # a disk filled to its end would stop everybody else on it


@dataclass(frozen=True)
class Shape:
    """The dimensions of a model; head_dim need not be dim / heads."""

    layers: int
    dim: int
    heads: int
    kv_heads: int
    mlp: int
    vocab: int
    head_dim: int
    tied: bool = False

    def tensors(self):
        """(name, shape) of every tensor, in the order in which Hugging Face writes them."""
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        yield "model.embed_tokens.weight", (self.vocab, self.dim)
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            yield at + "input_layernorm.weight", (self.dim,)
            yield at + "mlp.down_proj.weight", (self.dim, self.mlp)
            yield at + "mlp.gate_proj.weight", (self.mlp, self.dim)
            yield at + "mlp.up_proj.weight", (self.mlp, self.dim)
            yield at + "post_attention_layernorm.weight", (self.dim,)
            yield at + "self_attn.k_proj.weight", (kv, self.dim)
            yield at + "self_attn.o_proj.weight", (self.dim, q)
            yield at + "self_attn.q_proj.weight", (q, self.dim)
            yield at + "self_attn.v_proj.weight", (kv, self.dim)
        yield "model.norm.weight", (self.dim,)
        if not self.tied:
            yield "lm_head.weight", (self.vocab, self.dim)

    def config(self):
        return {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": self.dim,
            "intermediate_size": self.mlp, "num_hidden_layers": self.layers, "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads, "head_dim": self.head_dim, "vocab_size": self.vocab,
            "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "tie_word_embeddings": self.tied,
            "max_position_embeddings": 8192, "torch_dtype": "bfloat16", "hidden_act": "silu",
        }


PRESETS = {
    "bench": (Shape(8, 2048, 16, 4, 5632, 32000, 128), 2),
    "8gb": (Shape(16, 4096, 32, 8, 14336, 64000, 128), 4),
    "405b": (Shape(126, 16384, 128, 8, 53248, 128256, 128), 191),
}


def size_bytes(shape):
    """Bytes of a bf16 tensor."""
    size = 2
    for extent in shape:
        size *= extent
    return size


# --- what a sparse model holds

def planted_blocks(name, shape, every):
    """(begin, end) in bytes of a tensor's planted blocks, in order: one in each stretch of `every` bytes, first and last row.

    The place inside a stretch varies: at fixed distances all blocks would hit the same row of each head, and a wrong
    rotary order, which leaves that row where it is, would pass.
    """
    size = size_bytes(shape)
    row = size // shape[0] if len(shape) > 1 else size
    wanted = {0, max(0, min(size - row, size - BLOCK_BYTES))}
    for stretch in range(every, size, every):
        room = max(0, min(every, size - stretch) - BLOCK_BYTES) // 2
        wanted.add(stretch + 2 * (zlib.crc32(f"{name}+{stretch}".encode()) % (room + 1)))
    cursor = 0
    for begin in sorted(wanted):
        begin = max(begin, cursor)
        cursor = min(begin + BLOCK_BYTES, size)
        if begin < cursor:
            yield begin, cursor


def _pattern_cycle():
    half = PLANTED_PATTERNS // 2
    places = (STEP * i % PLANTED_PATTERNS for i in range(2 * PLANTED_PATTERNS))
    return array.array("H", (0x3A80 + n % half + (0x8000 if n >= half else 0) for n in places))


STEP = 1021  # has no factor in common with PLANTED_PATTERNS: walks through all of them
STEP_INVERSE = pow(STEP, -1, PLANTED_PATTERNS)
PATTERN_CYCLE = _pattern_cycle()  # twice, so that a block is one slice of it


def planted_pattern(name, begin, count):
    """bf16 patterns of the `count` elements of the block of tensor `name` that begins at byte `begin`: all distinct."""
    start = zlib.crc32(f"{name}@{begin}".encode()) * STEP_INVERSE % PLANTED_PATTERNS
    return PATTERN_CYCLE[start : start + count]


def planted_row(name, shape, row, every):
    """{column: bf16 pattern} of the elements of one row that are not zero."""
    width = size_bytes(shape) // shape[0]
    begin, end = row * width, (row + 1) * width
    found = {}
    for first, stop in planted_blocks(name, shape, every):
        if stop <= begin or first >= end:
            continue
        for at, pattern in enumerate(planted_pattern(name, first, (stop - first) // 2)):
            byte = first + 2 * at
            if begin <= byte < end:
                found[(byte - begin) // 2] = pattern
    return found


# --- what a random model holds

@functools.lru_cache(maxsize=2)
def normal_pool(seed):
    """Bytes of POOL_ELEMENTS normal bf16 values; a second to make, so kept."""
    values = random.Random(seed)
    return _bf16_bytes(values.gauss(0, 0.02) for _ in range(POOL_ELEMENTS))


def _bf16_bytes(values):
    wide = array.array("f", values).tobytes()
    out = bytearray(len(wide) // 2)
    out[0::2], out[1::2] = wide[2::4], wide[3::4]  # a float32's upper half is a bf16
    return bytes(out)


class RandomValues:
    """Normal bf16 values, as a stream of bytes: slices of a pool, each from a random place."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._pool = normal_pool(seed)

    def chunks(self, size):
        while size:
            begin = 2 * self._random.randrange(POOL_ELEMENTS // 2)
            take = min(size, 2 * self._random.randrange(POOL_ELEMENTS // 4, POOL_ELEMENTS // 2))
            yield self._pool[begin : begin + take]
            size -= take


def adversarial_rows(shape):
    """{row: bytes} of rows on which rounding rules show: zeros, tiny, large, constant, ties; for matrices of 8 rows up."""
    if len(shape) < 2 or shape[0] < 8:
        return {}
    columns = shape[1]
    return {
        0: bytes(2 * columns),
        1: _bf16_bytes([1e-7 * (1 + c % 3) for c in range(columns)]),
        2: _bf16_bytes([1e4 * ((c % 255) - 127) / 127 for c in range(columns)]),
        3: _bf16_bytes([0.25] * columns),
        4: _bf16_bytes([(c % 256 - 128) / 128 for c in range(columns)]),
        5: _bf16_bytes([(c % 255 - 127) + 0.5 * (c % 2) for c in range(columns)]),
        6: _bf16_bytes([-0.0 if c % 2 else 1e-40 for c in range(columns)]),
    }


# --- files

def shards(shape, count):
    """Lists of (name, shape) per shard, cut at tensor borders where the bytes are nearest to equal shares."""
    tensors = list(shape.tensors())
    share = sum(size_bytes(s) for _, s in tensors) / count
    out, filled = [[]], 0
    for left, (name, extents) in zip(range(len(tensors), 0, -1), tensors):
        size = size_bytes(extents)
        full = filled + size / 2 > share * len(out) or left <= count - len(out)
        if out[-1] and full and len(out) < count:
            out.append([])
        out[-1].append((name, extents))
        filled += size
    return out


def header_of(tensors):
    """The shard's header, padded as the reference writer does so that the data begin at a multiple of 8."""
    header, cursor = {"__metadata__": {"format": "pt"}}, 0
    for name, extents in tensors:
        size = size_bytes(extents)
        header[name] = {"dtype": "BF16", "shape": list(extents), "data_offsets": [cursor, cursor + size]}
        cursor += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text, cursor


def write_random(path, tensors, values, adversarial):
    header, _ = header_of(tensors)
    with open(path, "wb", buffering=0) as file:
        file.write(header)
        for _, extents in tensors:
            rows = adversarial_rows(extents) if adversarial else {}
            begin = file.tell()
            for chunk in values.chunks(size_bytes(extents)):
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
            for row, data in rows.items():
                os.pwrite(file.fileno(), data, begin + row * len(data))


def write_sparse(path, tensors, every):
    header, size = header_of(tensors)
    with open(path, "wb", buffering=0) as file:
        file.write(header)
        os.truncate(file.fileno(), len(header) + size)
        at = len(header)
        for name, extents in tensors:
            for begin, end in planted_blocks(name, extents, every):
                os.pwrite(file.fileno(), planted_pattern(name, begin, (end - begin) // 2).tobytes(), at + begin)
            at += size_bytes(extents)


def make(folder, shape, shard_count, seed=1, sparse=False, every=MIB, adversarial=False):
    """Writes the model; a folder that already holds the same one is left as it is. Returns the bytes of all tensors."""
    recipe = {"shape": shape.__dict__, "shards": shard_count, "seed": seed, "sparse": sparse,
              "plant_every": every if sparse else None, "adversarial": adversarial, "version": 3}
    total = sum(size_bytes(extents) for _, extents in shape.tensors())
    stamp = os.path.join(folder, "recipe.json")
    if os.path.exists(stamp):
        with open(stamp, encoding="utf-8") as file:
            if json.load(file) == json.loads(json.dumps(recipe)):
                return total
        os.remove(stamp)
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if not sparse and free < total + SPARE_BYTES:
        raise OSError(f"{folder}: {free} bytes free, {total} needed for the model and {SPARE_BYTES} to spare")
    parts = shards(shape, shard_count)
    values = None if sparse else RandomValues(seed)
    weight_map = {}
    for number, tensors in enumerate(parts, 1):
        file_name = (f"model-{number:05}-of-{len(parts):05}.safetensors" if len(parts) > 1 else "model.safetensors")
        path = os.path.join(folder, file_name)
        if sparse:
            write_sparse(path, tensors, every)
        else:
            write_random(path, tensors, values, adversarial)
        weight_map.update({name: file_name for name, _ in tensors})
    if len(parts) > 1:
        _write_json(os.path.join(folder, "model.safetensors.index.json"),
                    {"metadata": {"total_size": total}, "weight_map": weight_map})
    _write_json(os.path.join(folder, "config.json"), shape.config())
    _write_json(stamp, recipe)  # last: a folder without it is half made
    return total


def _write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=[*PRESETS, "small"])
    parser.add_argument("folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, help="files to cut the model into (default: the preset's, or 1)")
    parser.add_argument("--sparse", action="store_true", help="zeros with planted blocks instead of random values")
    parser.add_argument("--plant-every", type=int, metavar="BYTES",
                        help="distance of planted blocks (default 1 MiB; 405b: 64 MiB)")
    parser.add_argument("--adversarial", action="store_true", help="rows of zeros, ties, tiny and large values")
    small = parser.add_argument_group("dimensions of `small`")
    for name, value in (("layers", 2), ("dim", 256), ("heads", 4), ("kv-heads", 2), ("mlp", 512), ("vocab", 320)):
        small.add_argument(f"--{name}", type=int, default=value)
    small.add_argument("--head-dim", type=int, help="default: dim / heads")
    small.add_argument("--tied", action="store_true", help="no lm_head: the embedding serves as output")
    a = parser.parse_args()
    if a.kind == "small":
        head_dim = a.head_dim or a.dim // a.heads
        shape, count = Shape(a.layers, a.dim, a.heads, a.kv_heads, a.mlp, a.vocab, head_dim, a.tied), 1
    else:
        shape, count = PRESETS[a.kind]
    sparse = a.sparse or a.kind == "405b"
    every = a.plant_every or (64 * MIB if a.kind == "405b" else MIB)
    total = make(a.folder, shape, a.shards or count, a.seed, sparse, every, a.adversarial)
    print(f"{a.folder}: {total} bytes of tensors, {a.shards or count} shards")
    return 0


if __name__ == "__main__":
    sys.exit(main())

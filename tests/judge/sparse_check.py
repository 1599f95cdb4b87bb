#!/usr/bin/env python3
"""Compares sampled elements of a converted sparse model with what their source elements must be.

The source is computed, not read: tools/make_model.py says which element holds what. Sampled are the first and last row of
every array, rows with planted blocks and rows at random. Knows bf16 and the per_channel types.
"""

import argparse
import random
import sys

import numpy as np

import quantize_reference
from llama import meta_name_of_hf
from safetensors_file import SafetensorsFile
from support import make_model


def planted_values(name, extents, row, every):
    """bf16 patterns of one row of a source tensor, or of a whole vector."""
    out = np.zeros(extents[-1], np.uint16)
    if len(extents) == 1:
        for begin, end in make_model.planted_blocks(name, extents, every):
            out[begin // 2 : end // 2] = make_model.planted_pattern(name, begin, (end - begin) // 2)
    else:
        for column, pattern in make_model.planted_row(name, extents, row, every).items():
            out[column] = pattern
    return out


def planted_elements(name, shape, every):
    """(indexes, bf16 patterns) of all elements of a planted tensor that are not zero, in C order."""
    places, patterns = [], []
    for begin, end in make_model.planted_blocks(name, shape, every):
        count = (end - begin) // 2
        places.append(np.arange(begin // 2, begin // 2 + count))
        patterns.append(np.asarray(make_model.planted_pattern(name, begin, count), np.uint16))
    return np.concatenate(places), np.concatenate(patterns)


def interleaved(at, head_dim):
    """Where an element of a head in Hugging Face's order (halves) lies among neighbouring pairs."""
    half = head_dim // 2
    return 2 * at if at < half else 2 * (at - half) + 1


def source_row(name, row, head_dim):
    """The source's row of an output row: q and k pairs lie apart by half a head in Hugging Face's order."""
    if not name.endswith(("self_attn.q_proj.weight", "self_attn.k_proj.weight")):
        return row
    head, at = divmod(row, head_dim)
    return head * head_dim + at // 2 + (head_dim // 2 if at % 2 else 0)


def output_row(name, row, head_dim):
    """The output's row of a source row."""
    if not name.endswith(("self_attn.q_proj.weight", "self_attn.k_proj.weight")):
        return row
    head, at = divmod(row, head_dim)
    return head * head_dim + interleaved(at, head_dim)


class Checker:
    """Holds one output file against the model of `shape` that was planted every `every` bytes."""

    def __init__(self, shape, every, path, samples, seed=0):
        self._shape, self._every, self._samples = shape, every, samples
        self._file = SafetensorsFile(path)
        self._random = random.Random(seed)
        self.elements = 0

    def check(self, kind):
        """Checks every array; returns the number of elements compared. Raises AssertionError with the place."""
        for name, extents in self._shape.tensors():
            self._check_array(name, meta_name_of_hf(name), extents, kind)
        if self._shape.tied:
            self._check_array("model.embed_tokens.weight", "output.weight", (self._shape.vocab, self._shape.dim), kind)
        return self.elements

    def _output(self, name, dtype, row, width):
        step = width * dtype().itemsize
        return np.frombuffer(self._file.bytes_of(name)[row * step : (row + 1) * step], dtype)

    def _rows(self, name, extents):
        blocks = list(make_model.planted_blocks(name, extents, self._every))
        planted = [begin // (2 * extents[1]) for begin, _ in self._random.sample(blocks, min(len(blocks), self._samples))]
        anywhere = [self._random.randrange(extents[0]) for _ in range(2)]
        return sorted({0, extents[0] - 1, *planted, *anywhere})

    def _check_array(self, name, meta, extents, kind):
        entry = self._file.entries[meta]
        assert entry.shape == tuple(extents), f"{meta}: shape {entry.shape}, expected {extents}"
        if len(extents) == 1:
            made = np.frombuffer(self._file.bytes_of(meta), np.uint16)
            self._equal(meta, 0, made, planted_values(name, extents, 0, self._every))
            return
        column_scale = None
        if kind != "bf16" and meta == quantize_reference.EMBEDDING:
            column_scale = self._column_scale(name, extents)
        for row in self._rows(name, extents):
            out_row = output_row(name, row, self._shape.head_dim)
            assert source_row(name, out_row, self._shape.head_dim) == row
            source = planted_values(name, extents, row, self._every)
            if kind == "bf16":
                self._equal(meta, out_row, self._output(meta, np.uint16, out_row, extents[1]), source)
                continue
            made = self._output(meta, np.int8, out_row, extents[1])
            if column_scale is not None:
                stacked = np.stack([source, column_scale])  # a second row that forces the column's maximum
                self._equal(meta, out_row, made, quantize_reference.quantize_embedding(stacked)[0][0])
                continue
            q, scale = quantize_reference.quantize_rows(source[None], 8 if kind.startswith("int8") else 4)
            self._equal(meta, out_row, made, q[0])
            self._equal(meta + "_scaler", out_row, self._output(meta + "_scaler", np.uint16, out_row, 1), scale)

    def _column_scale(self, name, extents):
        """bf16 patterns of every column's largest magnitude; the scaler array is checked on the way, whole."""
        largest = np.zeros(extents[1], np.uint16)
        for begin, end in make_model.planted_blocks(name, extents, self._every):
            patterns = np.array(make_model.planted_pattern(name, begin, (end - begin) // 2), np.uint16) & 0x7FFF
            columns = (np.arange(len(patterns)) + begin // 2) % extents[1]
            np.maximum.at(largest, columns, patterns)
        scale = quantize_reference.quantize_embedding(largest[None])[1]
        scaler = quantize_reference.EMBEDDING + "_scaler"
        self._equal(scaler, 0, np.frombuffer(self._file.bytes_of(scaler), np.uint16), scale)
        return largest

    def _equal(self, name, row, made, expected):
        self.elements += len(expected)
        if not np.array_equal(made, expected):
            column = int(np.flatnonzero(np.asarray(made) != expected)[0])
            raise AssertionError(f"{name} [{row}, {column}]: {made[column]}, expected {expected[column]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=make_model.PRESETS, help="which preset, made with --sparse")
    parser.add_argument("output", help="the model.safetensors that was made of it")
    parser.add_argument("--type", default="bf16", choices=["bf16", "int8_per_channel", "int4_per_channel"])
    parser.add_argument("--samples", type=int, default=8, help="planted rows for each array")
    parser.add_argument("--plant-every", type=int, default=make_model.MIB)
    arguments = parser.parse_args()
    shape, _ = make_model.PRESETS[arguments.model]
    checker = Checker(shape, arguments.plant_every, arguments.output, arguments.samples)
    print(f"{checker.check(arguments.type)} elements equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Three generations of real Orbax, and TensorStore alone, restore what we wrote: every leaf as in the numpy reference.

The model is small, but its slices are larger than a chunk, its head width is no power of four (the query's scale rounds), and its
rows hold zeros, ties, subnormals and large values. Each generation restores everything in one process.
"""

import functools

import pytest

import maxtext_reference
import real_orbax
import support
from llama import load_hf
from maxtext_grid import chunk_of

DIMS = {"layers": 2, "dim": 1024, "heads": 8, "kv_heads": 2, "mlp": 1536, "vocab": 2048, "head_dim": 128}
# variant: (outputs, flags, is rotary interleaved, dtype, quantized layout)
VARIANTS = {
    "default": (("scanned", "unscanned", "int8", "int4w", "fp8"), [], False, "bfloat16", "linen"),
    "interleaved": (("scanned", "unscanned"), ["--rope-layout", "interleaved"], True, "bfloat16", "linen"),
    "zstd": (("scanned", "unscanned", "int8"), ["--compression", "zstd:1"], False, "bfloat16", "linen"),
    "pathways": (("scanned", "unscanned", "int8"), ["--orbax-layout", "pathways"], False, "bfloat16", "linen"),
    "nnx": (("int8",), ["--quant-layout", "nnx"], False, "bfloat16", "nnx"),
    "float32": (("scanned", "unscanned"), ["--dtype", "float32"], False, "float32", "linen"),
    "mesh": (("scanned", "unscanned"), ["--mesh", "fsdp=8,tensor=2"], False, "bfloat16", "linen"),
}
OUTPUTS = [(variant, output) for variant, (outputs, *_) in VARIANTS.items() for output in outputs]
WAYS = ("args", "whole", "manager", "tensorstore", "sharded")
CASES = [(variant, output, way) for variant, output in OUTPUTS for way in WAYS
         if way != "manager" or output in support.MAXTEXT_PATHS]  # a quantized tree is no step of a manager


class Judged:
    """The outputs of every variant, what they must hold, and what each generation restored of them."""

    def __init__(self, folder):
        self.folder = folder
        support.small(folder / "source", **DIMS)
        source = load_hf(folder / "source")
        self.rows, self.empty = {}, {}
        for variant, (outputs, flags, interleaved, dtype, layout) in VARIANTS.items():
            support.convert_maxtext(folder / "source", folder / variant, outputs, "--bundle-size", "1MiB", *flags)
            bf16 = maxtext_reference.unscanned(source, interleaved)
            for output in outputs:
                if output == "scanned":
                    leaves = maxtext_reference.scanned(source, interleaved, dtype)
                elif output == "unscanned":
                    leaves = maxtext_reference.unscanned(source, interleaved, dtype)
                else:
                    leaves = maxtext_reference.quantized(bf16, output, layout)
                self.rows[variant, output] = maxtext_reference.rows(leaves)
                self.empty[variant, output] = maxtext_reference.empty_nodes(output, leaves)

    def items(self, variant, output):
        return support.items(self.folder / variant, output)

    @functools.cache
    def restored(self, generation):
        jobs = [real_orbax.job(self.items(variant, output), way, self.rows[variant, output])
                for variant, output, way in CASES]
        return dict(zip(CASES, real_orbax.restore(generation, jobs), strict=True))


@pytest.fixture(scope="module")
def judged(tmp_path_factory, program):
    return Judged(tmp_path_factory.mktemp("judged"))


@pytest.mark.parametrize("generation", real_orbax.GENERATIONS)
@pytest.mark.parametrize("variant, output, way", CASES)
def test_restored_bit_for_bit(generation, variant, output, way, judged):
    result = judged.restored(generation)[variant, output, way]
    assert "error" not in result, result["error"]
    expected = judged.rows[variant, output]
    if way in ("args", "sharded"):  # the server asks for the weights only
        expected = {path: row for path, row in expected.items() if path != "step"}
    differing = {path: (result["leaves"].get(path), expected.get(path)) for path in {**expected, **result["leaves"]}
                 if result["leaves"].get(path) != expected.get(path)}
    assert differing == {}
    if way in ("whole", "manager"):
        assert result["empty"] == judged.empty[variant, output]


@pytest.mark.parametrize("variant, output", OUTPUTS)
def test_every_array_is_cut_as_the_grid_says(variant, output, judged):
    chunks = judged.restored(real_orbax.NEWEST)[variant, output, "tensorstore"]["chunks"]
    mesh = {"fsdp": 8, "tensor": 2} if variant == "mesh" else {}
    expected = {path: chunk_of(path, row[1], mesh) for path, row in judged.rows[variant, output].items()}
    assert chunks == expected


def test_some_arrays_have_many_chunks(judged):
    """Else the tests above would say little about chunks."""
    chunks = judged.restored(real_orbax.NEWEST)["default", "scanned", "tensorstore"]["chunks"]
    shapes = {path: row[1] for path, row in judged.rows["default", "scanned"].items()}
    many = [path for path in shapes if any(2 * part <= whole for part, whole in zip(chunks[path], shapes[path], strict=True))]
    assert len(many) >= 8

"""One real shard of a model of Llama-3.1-405B's shape under a small budget: sparse weights with planted blocks.

A block is a piece of one source row, an excerpt of one cycle of patterns. MaxText's kernels are transposed: there its elements lie
one stride apart. So the files of a shard must hold zeros, and chains of a constant stride that follow the cycle, as many as the
source has blocks in so many bytes, and the same ones in both outputs. (Which tensor is which is other tests' matter.)
"""

import numpy as np
import pytest

import bfloat16
import support

BUDGET_MIB = 1024
ALLOWANCE_MIB = 64
OUTPUTS = ("scanned", "unscanned")
EVERY = 64 * support.MIB  # of source bytes has one block
BLOCK = support.make_model.BLOCK_BYTES // 2  # elements
CYCLE = np.array(support.make_model.PATTERN_CYCLE[: support.make_model.PLANTED_PATTERNS], np.uint16)
HEAD_DIM = 128


def steps_of(cycle):
    """Pairs of neighbours, each as one number."""
    return np.unique(cycle.astype(np.uint32) << 16 | np.roll(cycle, -1))


# MaxText's query kernels are divided by the square root of the head's size.
QUERIES = bfloat16.from_float32(bfloat16.to_float32(CYCLE) * np.float32(HEAD_DIM**-0.5))
STEPS = (steps_of(CYCLE), steps_of(QUERIES))


def chains_of(path):
    """([(first pattern, length)], elements in no chain) of the elements that are not zero."""
    data = np.memmap(path, np.uint16, "r", shape=path.stat().st_size // 2)
    places = np.flatnonzero(data)
    patterns = np.asarray(data[places])
    strides, counts = np.unique(np.diff(places), return_counts=True)  # of the chunks in a file, which are of several arrays
    next_of = np.full(len(places), -1)
    for stride in strides[counts >= BLOCK // 4]:
        nexts = np.searchsorted(places, places + stride)
        has_next = nexts < len(places)
        has_next[has_next] = places[nexts[has_next]] == places[has_next] + stride
        codes = np.zeros(len(places), np.uint32)
        codes[has_next] = patterns[has_next].astype(np.uint32) << 16 | patterns[nexts[has_next]]
        for steps in STEPS:
            follows = has_next & np.isin(codes, steps) & (next_of < 0)
            next_of[follows] = nexts[follows]
    is_first = np.ones(len(places), bool)
    is_first[next_of[next_of >= 0]] = False
    chains = []
    for first in np.flatnonzero(is_first & (next_of >= 0)):
        length, at = 1, first
        while next_of[at] >= 0:
            length, at = length + 1, next_of[at]
        chains.append((int(patterns[first]), length))
    return chains, int((is_first & (next_of < 0)).sum())


@pytest.mark.parametrize("number", [137, 399])
def test_one_shard_of_400_keeps_its_budget_and_the_blocks(number, program, disk):
    model = support.preset("405b")
    ran = support.run("convert", model, disk / "out", "--to", "maxtext", "--outputs", ",".join(OUTPUTS), "--model", "llama3.1-405b",
                      "--memory", f"{BUDGET_MIB}MiB", "--shard", f"{number}/400", expect=0)
    assert "the shard that finishes last commits" in ran.stdout + ran.stderr
    chains = {}
    for output in OUTPUTS:
        files = sorted((disk / "out/bf16" / output).rglob("items/d/*"))
        chains[output], single = [], 0
        for path in files:
            found, alone = chains_of(path)
            chains[output] += found
            single += alone
        chains[output].sort()
        made_bytes = sum(path.stat().st_size for path in files)
        elements = sum(length for _, length in chains[output])
        whole = sum(length == BLOCK for _, length in chains[output])
        blocks = made_bytes / EVERY
        print(f"{output}: {made_bytes / 1e9:.2f} GB in {len(files)} files, {len(chains[output])} chains of {elements} elements, "
              f"{whole} of them a whole block; {blocks:.1f} blocks are in so many bytes; {single} elements in no chain")
        assert made_bytes > 1e9
        assert blocks - len(files) <= elements / BLOCK <= blocks + 3 * len(files)
        assert single <= elements / 20, "more than sums and tables between the chunks"
    assert chains["scanned"] == chains["unscanned"]
    peak = ran.peak_rss_bytes / support.MIB
    print(f"peak RSS {peak:.0f} MiB of a budget of {BUDGET_MIB} MiB")
    assert peak <= BUDGET_MIB + ALLOWANCE_MIB

"""The bundles of a model of Llama-3.1-405B's shape fall evenly to many shards, and planning that takes seconds.

The headers are real, the weights sparse: nothing is converted. What each shard reads and writes is what its bundles do; headers and
the commit, which are the same few megabytes for all, are left out.
"""

import json

import pytest

import support

LEAST_RUNS = 3  # limits in tests are CPU seconds, best of three: other work runs beside
MAXTEXT = ("--to", "maxtext", "--outputs", "scanned,unscanned", "--model", "llama3.1-405b")
INT8 = ("--to", "jetstream-pytorch", "--quantize", "int8_per_channel")


@pytest.fixture(scope="module")
def model_405b(program):
    return support.preset("405b")


def planned(model, flags, shards):
    """(the plan as JSON, the run) of a conversion into so many shards."""
    ran = support.run("plan", model, *flags, "--shards", shards, "--json", expect=0)
    return json.loads(ran.stdout), ran


def moved(part):
    return part["read_bytes"] + part["written_bytes"]


def loads(plan, shards):
    """Bytes that each shard moves, without the one that holds a tensor that cannot be dealt out."""
    parts = plan["shards"]["parts"]
    assert len(parts) == plan["shards"]["count"] == shards
    assert sum(part["bundles"] for part in parts) == plan["bundles"] - 1  # the front is the committer's
    return [moved(part) for part in parts if not part["has_statistic"]]


@pytest.mark.parametrize("flags", [MAXTEXT, INT8], ids=["maxtext", "int8"])
def test_100_shards_are_each_within_5_percent_of_the_mean(flags, model_405b):
    plan, _ = planned(model_405b, flags, 100)
    moved_bytes = loads(plan, 100)
    mean = sum(moved_bytes) / len(moved_bytes)
    print(f"100 shards: mean {mean / 1e9:.2f} GB, least {min(moved_bytes) / mean - 1:+.2%}, most {max(moved_bytes) / mean - 1:+.2%}")
    assert len(moved_bytes) == (99 if flags is INT8 else 100)
    assert 0.95 * mean <= min(moved_bytes) and max(moved_bytes) <= 1.05 * mean


@pytest.mark.parametrize("flags", [MAXTEXT, INT8], ids=["maxtext", "int8"])
def test_400_shards_have_at_most_the_mean_and_one_bundle(flags, model_405b):
    plan, _ = planned(model_405b, flags, 400)
    moved_bytes = loads(plan, 400)
    mean = sum(moved_bytes) / len(moved_bytes)
    bundle = max(part["largest_bundle_bytes"] for part in plan["shards"]["parts"] if not part["has_statistic"])
    print(f"400 shards: mean {mean / 1e9:.3f} GB, most {max(moved_bytes) / 1e9:.3f} GB, a bundle up to {bundle / 1e9:.3f} GB")
    assert max(moved_bytes) <= mean + bundle


def test_the_embedding_of_int8_is_one_shards(model_405b):
    """Its column maxima cross all of it: who quantizes it reads it first."""
    plan, _ = planned(model_405b, INT8, 400)
    (part,) = [part for part in plan["shards"]["parts"] if part["has_statistic"]]
    elements = 128256 * 16384
    assert moved(part) >= elements * (2 * 2 + 1)  # bf16 twice in, int8 out
    print(f"the shard of the embedding moves {moved(part) / 1e9:.2f} GB in {part['bundles']} bundles")


@pytest.mark.parametrize("flags", [MAXTEXT, INT8], ids=["maxtext", "int8"])
def test_shards_are_what_the_whole_reads_and_writes(flags, model_405b):
    plan, _ = planned(model_405b, flags, 7)
    parts = plan["shards"]["parts"]
    read, written = (sum(part[key] for part in parts) for key in ("read_bytes", "written_bytes"))
    few = 64 * support.MIB  # headers, the front, norms, what the commit writes
    assert plan["bytes"]["read"] - few <= read <= plan["bytes"]["read"]
    assert plan["bytes"]["written"] - few <= written <= plan["bytes"]["written"]
    one = json.loads(support.run("plan", model_405b, *flags, "--shard", "2/7", "--json", expect=0).stdout)
    assert one["shards"] == {**plan["shards"], "index": 2}


@pytest.mark.parametrize("flags", [MAXTEXT, INT8], ids=["maxtext", "int8"])
def test_planning_400_shards_takes_under_5_cpu_seconds_and_256_mib(flags, model_405b):
    runs = [planned(model_405b, flags, 400)[1] for _ in range(LEAST_RUNS)]
    cpu, peak = min(ran.cpu_s for ran in runs), max(ran.peak_rss_bytes for ran in runs)
    print(f"{cpu:.2f} s CPU, {peak / support.MIB:.0f} MiB")
    assert cpu < 5
    assert peak < 256 * support.MIB

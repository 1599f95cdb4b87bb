"""MaxText outputs: nothing but source values and settings reaches a byte of them, and memory stays within its budget."""

import shutil

import pytest

import maxtext_sparse
import support
from test_budget import assert_within

THREE = ("scanned", "unscanned", "int8")
LEAST_BUNDLES = 40
DIMS = {"layers": 6, "dim": 1024, "heads": 8, "kv_heads": 2, "mlp": 2816, "vocab": 8192, "head_dim": 128}  # 169 MB
RUNS = {
    "one thread": ["--threads", "1"],
    "two threads": ["--threads", "2"],
    "seven threads": ["--threads", "7"],
    "256 MiB": ["--memory", "256MiB"],
    "512 MiB": ["--memory", "512MiB", "--threads", "7"],
    "2 GiB": ["--memory", "2GiB"],
    "buffered": ["--io", "buffered"],
}
GB = 10**9


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """The same values in one file, in three, and elsewhere."""
    folder = tmp_path_factory.mktemp("sources")
    for name, shards in (("one", 1), ("three", 3)):
        support.small(folder / name, adversarial=False, shards=shards, **DIMS)
    shutil.copytree(folder / "one", folder / "elsewhere/copy")
    return {"one shard": folder / "one", "three shards": folder / "three", "another folder": folder / "elsewhere/copy"}


def made(source, folder, *flags):
    """(every file's digest, the bundles) of one run; the output is removed."""
    ran = support.convert_maxtext(source, folder, THREE, "--bundle-size", "1MiB", *flags)
    bundles = support.report(folder)["bundles"]
    files = support.outputs_of(folder)
    shutil.rmtree(folder)
    assert files
    assert bundles >= LEAST_BUNDLES
    return files, bundles, ran


def test_bytes_do_not_depend_on_threads_budget_shards_or_folders(sources, disk):
    expected, bundles, _ = made(sources["one shard"], disk / "out")
    print(f"{bundles} bundles, {len(expected)} files")
    differing = {}
    for name, flags in RUNS.items():
        found, count, ran = made(sources["one shard"], disk / "out", *flags)
        if "--memory" in flags:
            unit = {"M": support.MIB, "G": 1024 * support.MIB}[flags[1][-3]]
            assert_within(ran, unit * int(flags[1][:-3]))
        if (found, count) != (expected, bundles):
            differing[name] = {path for path in {**found, **expected} if found.get(path) != expected.get(path)}
    for name in ("three shards", "another folder"):
        found, _, _ = made(sources[name], disk / "elsewhere/out")
        if found != expected:
            differing[name] = {path for path in {**found, **expected} if found.get(path) != expected.get(path)}
    assert differing == {}


def test_each_output_alone_has_the_bytes_that_it_has_among_others(sources, disk):
    """What another output shares of the work leaves no trace in an array's bytes."""
    support.convert_maxtext(sources["one shard"], disk / "all", THREE, "--bundle-size", "1MiB")
    for name in THREE:
        support.convert_maxtext(sources["one shard"], disk / name, (name,), "--bundle-size", "1MiB")
        alone, among = ({array: entry["crc32c"] for (output, array), entry in support.arrays_of(
            support.report(disk / folder)).items() if output == name} for folder in (name, "all"))
        assert alone == among


def test_8_gb_pass_into_null_with_three_outputs_under_the_budget(sparse_8gb):
    ran = support.convert_maxtext(sparse_8gb, "null:", THREE, "--memory", "256MiB")
    assert_within(ran, 256 * support.MIB)


def test_8_gb_reach_the_disk_under_the_budget_element_by_element(sparse_8gb, disk):
    free = shutil.disk_usage(disk).free
    outputs = THREE if free >= 24 * GB else ("unscanned", "int8")
    needed = 24 * GB if outputs == THREE else 15 * GB
    print(f"{free / GB:.0f} GB free: {', '.join(outputs)}")
    assert free >= needed, f"{disk}: {free / GB:.1f} GB free, {needed / GB:.0f} GB needed for the outputs of 8 GB"
    ran = support.convert_maxtext(sparse_8gb, disk / "out", outputs, "--memory", "256MiB", "--rope-layout", "interleaved")
    assert_within(ran, 256 * support.MIB)
    shape, _ = support.make_model.PRESETS["8gb"]
    for output in outputs:
        sampler = maxtext_sparse.Sampler(shape, support.MIB, samples=3, interleaved=True)
        elements = maxtext_sparse.check(support.items(disk / "out", output), output, sampler)
        print(f"{output}: {elements} elements compared with their computed source")
        assert elements > 2_000_000

"""Damaged Orbax checkpoints: `inspect` and `verify` say what is wrong, in which file and where; nothing crashes."""

import json
import random
import shutil

import pytest

import maxtext_reference
import real_orbax
import support
from llama import load_hf

DOCUMENTED = {0, 64, 65, 66, 73, 74}
DIMS = {"layers": 2, "dim": 256, "heads": 4, "kv_heads": 2, "mlp": 384, "vocab": 320}
ROUNDS = 120  # random damages
BLOCK = 4096  # chunks begin at multiples of it, so a file's last block holds the end of a chunk


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    support.small(folder / "source", **DIMS)
    support.convert_maxtext(folder / "source", folder / "out", ("scanned", "int8"))
    return folder


@pytest.fixture
def copy(written, tmp_path):
    """A fresh copy of the conversion's folder."""
    shutil.copytree(written / "out", tmp_path / "out")
    return tmp_path / "out"


def node_file(items):
    """The data file that holds the tree: the one that begins with a node's magic."""
    return next(path for path in sorted((items / "d").iterdir()) if path.read_bytes()[:4] == b"\x0c\xdb\x20\xde")


def chunk_file(items):
    """A data file of chunks."""
    return next(path for path in sorted((items / "d").iterdir()) if path.read_bytes()[:4] != b"\x0c\xdb\x20\xde")


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


FILES = {
    "manifest.ocdbt": lambda items: items / "manifest.ocdbt", "node": node_file,
    "_METADATA": lambda items: items / "_METADATA",
}
DAMAGES = {
    "a flipped bit": lambda path: flip(path, path.stat().st_size // 2),
    "a flipped first bit": lambda path: flip(path, 0),
    "a flipped last bit": lambda path: flip(path, -1),
    "half of it": lambda path: cut(path, path.stat().st_size // 2),
    "one block less": lambda path: cut(path, (path.stat().st_size - 1) // BLOCK * BLOCK),
    "nothing": lambda path: cut(path, 0),
    "other bytes": lambda path: path.write_bytes(bytes(range(256)) * 4),
}


def assert_found(ran, *places):
    """Verify refuses, names one of the places and says what to do."""
    assert ran.exit_code in (65, 74), f"{ran.exit_code}\n{ran.stdout}\n{ran.stderr}"
    assert any(place in ran.stderr for place in places), ran.stderr
    assert "remedy" in ran.stderr


@pytest.mark.parametrize("name", ["manifest.ocdbt", "node"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_inspect_names_the_damaged_file_and_the_byte(name, damage, copy):
    items = support.items(copy, "scanned")
    path = FILES[name](items)
    DAMAGES[damage](path)
    support.assert_refused(support.run("inspect", items), 65, path.name, "byte")


@pytest.mark.parametrize("damage", [name for name in DAMAGES if "flipped" not in name])
def test_inspect_names_damaged_metadata(damage, copy):
    items = support.items(copy, "scanned")
    DAMAGES[damage](items / "_METADATA")
    support.assert_refused(support.run("inspect", items), 65, "_METADATA")


@pytest.mark.parametrize("name", ["manifest.ocdbt", "node"])
def test_a_missing_file_is_named(name, copy):
    items = support.items(copy, "scanned")
    path = FILES[name](items)
    path.unlink()
    ran = support.run("inspect", items)
    assert ran.exit_code in (65, 66), ran.stderr
    assert path.name in ran.stderr or "manifest" in ran.stderr


@pytest.mark.parametrize("output", ["scanned", "int8"])
@pytest.mark.parametrize("damage", ["a flipped bit", "half of it", "one block less", "nothing"])
def test_verify_finds_a_damaged_chunk(output, damage, copy):
    items = support.items(copy, output)
    path = chunk_file(items)
    if damage == "a flipped bit":
        flip(path, 1)  # the first chunk's first element: alignment gaps are no part of any value
    else:
        DAMAGES[damage](path)
    assert_found(support.run("verify", copy), path.name, output)


@pytest.mark.parametrize("name", ["manifest.ocdbt", "node"])
def test_verify_finds_a_damaged_tree(name, copy):
    path = FILES[name](support.items(copy, "scanned"))
    flip(path, path.stat().st_size // 2)
    assert_found(support.run("verify", copy), path.name)


# Text keys are left out: no reader parses them.
@pytest.mark.parametrize("word", ['"key": "decoder_norm"', '"key_metadata"', '"value_type": "jax.Array"', '"use_zarr3"'])
def test_verify_finds_damaged_metadata(word, copy):
    path = support.items(copy, "scanned") / "_METADATA"
    flip(path, path.read_text().index(word) + len(word) - 3)
    assert_found(support.run("verify", copy), "scanned")


@pytest.mark.parametrize("generation", real_orbax.GENERATIONS)
def test_real_orbax_refuses_a_flipped_bit_too(generation, written, tmp_path):
    """Our chunks carry a checksum that every reader checks: no damage is restored as weights."""
    shutil.copytree(written / "out", tmp_path / "out")
    items = support.items(tmp_path / "out", "scanned")
    flip(chunk_file(items), 1)
    rows = maxtext_reference.rows(maxtext_reference.scanned(load_hf(written / "source"), False))
    jobs = [real_orbax.job(items, way, rows) for way in ("args", "whole", "tensorstore")]
    for result in real_orbax.restore(generation, jobs):
        assert "error" in result


def test_no_random_damage_crashes_or_passes_for_another_model(written, tmp_path):
    """Each round damages one file somewhere; the answer is a documented status, and success only where nothing was lost."""
    chance = random.Random(5)
    items_of = support.items(written / "out", "scanned")
    expected = json.loads(support.run("inspect", items_of, "--json", expect=0).stdout)["tensors"]
    counts = {}
    for number in range(ROUNDS):
        out = tmp_path / str(number)
        shutil.copytree(written / "out", out)
        items = support.items(out, "scanned")
        path = chance.choice(sorted(path for path in items.rglob("*") if path.is_file() and path.stat().st_size))
        size = path.stat().st_size
        kind = chance.choice(["flip", "cut", "overwrite"])
        at = chance.randrange(size)
        if kind == "flip":
            flip(path, at)
        elif kind == "cut":
            cut(path, at)
        else:
            data = bytearray(path.read_bytes())
            data[at : at + 8] = chance.randbytes(8)[: size - at]
            path.write_bytes(data)
        for verb in (["inspect", items, "--json"], ["verify", out]):
            ran = support.run(*verb)
            said = f"{verb[0]} after {kind} of {path.name} at byte {at} of {size}: {ran.exit_code}\n{ran.stdout}\n{ran.stderr}"
            assert ran.exit_code in DOCUMENTED, said
            assert ran.peak_rss_bytes < 512 * support.MIB, said
            if ran.exit_code:
                assert "remedy" in ran.stderr, said
            elif verb[0] == "inspect" and path.name != "_METADATA":  # names themselves may be damaged into other names
                shown = json.loads(ran.stdout)["tensors"]
                assert {name: tensor["shape"] for name, tensor in shown.items()} == {
                    name: tensor["shape"] for name, tensor in expected.items()}, said
            counts[verb[0], ran.exit_code] = counts.get((verb[0], ran.exit_code), 0) + 1
        shutil.rmtree(out)
    print(counts)
    assert counts.get(("verify", 65), 0) + counts.get(("verify", 74), 0) > ROUNDS // 2

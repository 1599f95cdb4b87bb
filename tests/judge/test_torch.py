"""PyTorch's files: every form of one model converts to the same bytes, and nothing that a pickle says is ever run."""

import json
import shutil
import struct
import zlib

import numpy as np
import pytest

import gguf_model
import meta_model
import pth_writer
import support
from compare import differences
from sparse_check import planted_values
from safetensors_file import SafetensorsFile

GOLDEN = support.GOLDEN / "jetstream-pytorch/llama-2-meta"
TYPES = ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
HALVES = ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin")


@pytest.fixture(scope="module")
def hf(tmp_path_factory):
    """A random model of Hugging Face, 8 key and value heads, so that 8 ranks have one each."""
    folder = tmp_path_factory.mktemp("hf")
    shape = support.small(folder, heads=8, kv_heads=8, head_dim=32)
    return folder, shape, support.read_tensors(folder / "model.safetensors")


def bin_folder(source, folder):
    folder.mkdir(parents=True)
    shutil.copy(source / "config.json", folder)
    return folder


def halves(tensors):
    names = list(tensors)
    return [{name: tensors[name] for name in part} for part in (names[: len(names) // 2], names[len(names) // 2 :])]


def write_index(folder, tensors):
    parts = halves(tensors)
    where = {name: file for file, part in zip(HALVES, parts) for name in part}
    size = sum(len(data) for _, _, data in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))


FORMS = ["bin", "bin_parts", "bin_index", "legacy_bin", "big_endian_bin", "ckpt", "meta_1", "meta_2", "meta_8", "meta_2_by_width",
         "gguf"]
MAXTEXT_FORMS = {"scanned": (), "unscanned": (), "compressed": ("--compression", "zstd:1"), "pathways": ("--orbax-layout", "pathways")}


def make(form, folder, hf_model):
    source, shape, tensors = hf_model
    if form.startswith("meta_"):
        axis = 1 if form.endswith("by_width") else 0
        meta_model.write(folder, meta_model.of_hf(tensors, shape), shape, int(form.split("_")[1]), embedding_axis=axis)
        return folder
    if form == "gguf":
        folder.mkdir()
        gguf_model.write_meta(folder / "model.gguf", meta_model.of_hf(tensors, shape), shape)
        return folder
    bin_folder(source, folder)
    if form == "bin":
        pth_writer.write(folder / "pytorch_model.bin", tensors)
    if form == "ckpt":
        pth_writer.write(folder / "model.ckpt", tensors)
    if form == "legacy_bin":
        pth_writer.write_legacy(folder / "pytorch_model.bin", tensors)
    if form == "big_endian_bin":
        swapped = {name: (dtype, extents, np.frombuffer(data, np.uint16).byteswap().tobytes())
                   for name, (dtype, extents, data) in tensors.items()}
        pth_writer.write(folder / "pytorch_model.bin", swapped, order="big")
    if form in ("bin_parts", "bin_index"):
        for name, part in zip(HALVES, halves(tensors)):
            pth_writer.write(folder / name, part)
    if form == "bin_index":
        write_index(folder, tensors)
    return folder


@pytest.fixture(scope="module")
def expected(hf, tmp_path_factory):
    """{kind: the file's digest} and the MaxText outputs of the safetensors form."""
    folder = tmp_path_factory.mktemp("expected")
    files = {}
    for kind in ("bf16", "int8_per_channel", "int4_blockwise"):
        support.convert(hf[0], folder / kind, kind=kind)
        files[kind] = support.fingerprint(folder / kind / "model.safetensors")
    support.convert_maxtext(hf[0], folder / "maxtext", ("scanned", "unscanned"))
    return files, support.outputs_of(folder / "maxtext")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_converts_to_the_same_bytes(form, hf, expected, tmp_path):
    source = make(form, tmp_path / "in", hf)
    files, maxtext = expected
    for kind, digest in files.items():
        support.convert(source, tmp_path / kind, kind=kind)
        assert support.fingerprint(tmp_path / kind / "model.safetensors") == digest, kind
    support.convert_maxtext(source, tmp_path / "maxtext", ("scanned", "unscanned"))
    assert support.outputs_of(tmp_path / "maxtext") == maxtext


@pytest.mark.parametrize("target", ["jetstream-pytorch", "maxtext"])
def test_a_damaged_byte_is_found_by_the_archives_checksum(target, tmp_path):
    """Of a tensor that takes many tiles and bundles, all of which look as good as before."""
    shape = support.small(tmp_path / "hf", layers=1, dim=512, mlp=2048, vocab=4096)
    tensors = support.read_tensors(tmp_path / "hf/model.safetensors")
    source = bin_folder(tmp_path / "hf", tmp_path / "in") / "pytorch_model.bin"
    pth_writer.write(source, tensors)
    flags = ("--to", target, "--bundle-size", "1MiB", *(("--outputs", "scanned", "--model", "llama3-8b") if target == "maxtext" else ()))
    support.run("convert", tmp_path / "in", tmp_path / "good", *flags, expect=0)
    checksums = support.report(tmp_path / "good")["source"]["checksums"]
    assert checksums == {"held": len(tensors), "not_read_whole": 0}
    _, _, embedding = tensors["model.embed_tokens.weight"]
    data = bytearray(source.read_bytes())
    data[data.index(embedding) + 3 * len(embedding) // 4] ^= 1
    source.write_bytes(data)
    support.assert_refused(support.run("convert", tmp_path / "in", tmp_path / "out", *flags), 65, "CRC-32", "damaged", "pytorch_model.bin")
    made = {path.name for path in (tmp_path / "out").rglob("*")}
    assert not made & {"model.safetensors", "_CHECKPOINT_METADATA", "manifest.ocdbt"}, f"{shape}: {made}"


def test_gguf_of_f16_converts_to_the_same_bytes(tmp_path):
    """Of numbers that F16 and BF16 both have."""
    shape = support.small(tmp_path / "hf", adversarial=False)
    tensors = {}
    for name, (dtype, extents, data) in support.read_tensors(tmp_path / "hf/model.safetensors").items():
        numbers = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float16).astype(np.float32)
        tensors[name] = (dtype, extents, (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes())
    support.write_tensors(tmp_path / "hf/model.safetensors", tensors)
    (tmp_path / "in").mkdir()
    gguf_model.write_meta(tmp_path / "in/model.gguf", meta_model.of_hf(tensors, shape), shape, kind="F16")
    for kind in TYPES:
        support.convert(tmp_path / "hf", tmp_path / f"hf-{kind}", kind=kind)
        support.convert(tmp_path / "in", tmp_path / kind, kind=kind)
        again = support.fingerprint(tmp_path / kind / "model.safetensors")
        assert again == support.fingerprint(tmp_path / f"hf-{kind}" / "model.safetensors"), kind
    for source in ("hf", "in"):
        support.convert_maxtext(tmp_path / source, tmp_path / f"{source}-maxtext", ("scanned", "unscanned"))
    assert support.outputs_of(tmp_path / "in-maxtext") == support.outputs_of(tmp_path / "hf-maxtext")


@pytest.mark.parametrize("form", MAXTEXT_FORMS)
def test_our_own_maxtext_output_converts_to_the_same_file(form, tmp_path):
    """Of a model whose scale of queries, 1 / 4, undoes itself: its numbers are normal ones."""
    support.small(tmp_path / "hf", adversarial=False, heads=16, kv_heads=8, head_dim=16)
    output = form if form in support.MAXTEXT_PATHS else "scanned"
    support.convert_maxtext(tmp_path / "hf", tmp_path / "maxtext", (output,), *MAXTEXT_FORMS[form])
    for kind in TYPES:
        support.convert(tmp_path / "hf", tmp_path / f"hf-{kind}", kind=kind)
        support.convert(support.items(tmp_path / "maxtext", output), tmp_path / kind, kind=kind)
        again = support.fingerprint(tmp_path / kind / "model.safetensors")
        assert again == support.fingerprint(tmp_path / f"hf-{kind}" / "model.safetensors"), kind
        told = support.report(tmp_path / kind)["bytes"]
        print(form, kind, {key: told[key] for key in ("read", "headers", "source_tensors", "read_twice")})
        assert told["read"] == told["headers"] + told["source_tensors"] + told["read_twice"]


@pytest.mark.parametrize("kind", TYPES)
def test_the_real_pth_files_of_llama_2_reproduce_the_golden(kind, tmp_path):
    support.convert(GOLDEN / "input", tmp_path / "out", kind=kind)
    assert differences(tmp_path / "out/model.safetensors", GOLDEN / kind / "model.safetensors") == []
    assert json.loads((tmp_path / "out/params.json").read_text()) == json.loads((GOLDEN / kind / "params.json").read_text())


def test_repeated_key_and_value_heads_are_taken_once(tmp_path):
    shape = support.small(tmp_path / "hf", heads=8, kv_heads=2, head_dim=32)
    tensors = support.read_tensors(tmp_path / "hf/model.safetensors")
    meta_model.write(tmp_path / "in", meta_model.of_hf(tensors, shape), shape, 8, repeat=4)
    support.convert(tmp_path / "hf", tmp_path / "one")
    ran = support.convert(tmp_path / "in", tmp_path / "two")
    assert "4 times over" in ran.stderr
    assert support.fingerprint(tmp_path / "one/model.safetensors") == support.fingerprint(tmp_path / "two/model.safetensors")


def test_a_folder_of_several_forms_reads_safetensors_and_says_so(hf, expected, tmp_path):
    source, _, tensors = hf
    shutil.copytree(source, tmp_path / "in")
    wrong = {name: (dtype, extents, bytes(len(data))) for name, (dtype, extents, data) in tensors.items()}
    pth_writer.write(tmp_path / "in/pytorch_model.bin", wrong)
    ran = support.convert(tmp_path / "in", tmp_path / "out")
    assert "safetensors" in ran.stderr and ".bin" in ran.stderr
    assert support.fingerprint(tmp_path / "out/model.safetensors") == expected[0]["bf16"]
    support.convert(tmp_path / "in", tmp_path / "zeros", "--source-format", "torch")
    assert support.fingerprint(tmp_path / "zeros/model.safetensors") != expected[0]["bf16"]


# --- views

def transposed(tensors, name):
    """The model with one tensor stored transposed, as {name: View} and its storages."""
    views, storages = pth_writer.split(tensors)
    view = views[name]
    rows, columns = view.shape
    cells = np.frombuffer(storages[view.storage], np.uint16).reshape(rows, columns)
    storages[view.storage] = np.ascontiguousarray(cells.T).tobytes()
    views[name] = pth_writer.View(view.storage, view.dtype, view.shape, (1, rows))
    return views, storages


def test_transposed_tensors_reach_both_servers(hf, expected, tmp_path):
    source, _, tensors = hf
    name = "model.layers.1.mlp.up_proj.weight"
    bin_folder(source, tmp_path / "in")
    pth_writer.write_views(tmp_path / "in/pytorch_model.bin", *transposed(tensors, name))
    support.convert_maxtext(tmp_path / "in", tmp_path / "out", ("scanned", "unscanned"))
    assert support.outputs_of(tmp_path / "out") == expected[1]
    for kind, digest in expected[0].items():
        support.convert(tmp_path / "in", tmp_path / kind, kind=kind)
        assert support.fingerprint(tmp_path / kind / "model.safetensors") == digest, kind


def test_sliced_and_tied_tensors_are_read_where_they_lie(hf, expected, tmp_path):
    """gate and up as two column slices of one storage, the head tied to the embedding by its storage."""
    source, shape, tensors = hf
    views, storages = pth_writer.split(tensors)
    for layer in range(shape.layers):
        names = [f"model.layers.{layer}.mlp.{part}_proj.weight" for part in ("gate", "up")]
        cells = [np.frombuffer(tensors[name][2], np.uint16).reshape(shape.mlp, shape.dim) for name in names]
        key = f"fused{layer}"
        storages[key] = np.hstack(cells).tobytes()
        for i, name in enumerate(names):
            del storages[views[name].storage]
            views[name] = pth_writer.View(key, "BF16", (shape.mlp, shape.dim), (2 * shape.dim, 1), i * shape.dim)
    bin_folder(source, tmp_path / "in")
    pth_writer.write_views(tmp_path / "in/pytorch_model.bin", views, storages)
    support.convert(tmp_path / "in", tmp_path / "out")
    assert support.fingerprint(tmp_path / "out/model.safetensors") == expected[0]["bf16"]
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned", "unscanned"))
    assert support.outputs_of(tmp_path / "maxtext") == expected[1]


# --- damage

@pytest.mark.parametrize("to", ["jetstream-pytorch", "maxtext"])
def test_a_storage_that_differs_from_its_crc_is_not_committed(to, hf, tmp_path):
    source, _, tensors = hf
    bin_folder(source, tmp_path / "in")
    pth_writer.write(tmp_path / "in/pytorch_model.bin", tensors, crcs={"5": 1})
    if to == "maxtext":
        ran = support.convert_maxtext(tmp_path / "in", tmp_path / "out", ("scanned",), expect=65)
    else:
        ran = support.convert(tmp_path / "in", tmp_path / "out", expect=65)
    support.assert_refused(ran, 65, "CRC-32", "archive/data/5", "pytorch_model.bin")
    assert support.loadable(tmp_path / "out") == []


def test_gaps_and_missing_shards_are_named(hf, tmp_path):
    folder = make("meta_8", tmp_path / "in", hf)
    (folder / "consolidated.03.pth").rename(tmp_path / "away.pth")
    support.assert_refused(support.convert(folder, tmp_path / "out", expect=65), 65, "consolidated.03.pth")
    (tmp_path / "away.pth").rename(folder / "consolidated.03.pth")
    (folder / "consolidated.07.pth").unlink()
    support.assert_refused(support.convert(folder, tmp_path / "out", expect=65), 65, "params.json")
    (folder / "checklist.chk").write_text("".join(f"{'0' * 32}  consolidated.{rank:02}.pth\n" for rank in range(8)))
    support.assert_refused(support.convert(folder, tmp_path / "out", expect=65), 65, "consolidated.07.pth")


def test_norms_that_differ_between_shards_are_refused_with_the_difference(hf, tmp_path):
    _, shape, tensors = hf
    folder = make("meta_2", tmp_path / "in", hf)
    tensors = meta_model.of_hf(tensors, shape)
    dtype, extents, data = tensors["norm.weight"]
    tensors["norm.weight"] = dtype, extents, struct.pack("<H", 0x4040) + data[2:]
    meta_model.write(tmp_path / "other", tensors, shape, 2)
    shutil.copy(tmp_path / "other/consolidated.01.pth", folder)
    ran = support.convert(folder, tmp_path / "out", expect=65)
    support.assert_refused(ran, 65, "norm.weight", "differ by up to", "consolidated.01.pth")


def test_shards_of_different_models_are_refused(hf, tmp_path):
    folder = make("meta_2", tmp_path / "in", hf)
    shape = support.small(tmp_path / "hf", heads=8, kv_heads=8, head_dim=32, layers=1)
    other = meta_model.of_hf(support.read_tensors(tmp_path / "hf/model.safetensors"), shape)
    meta_model.write(tmp_path / "other", other, shape, 2)
    shutil.copy(tmp_path / "other/consolidated.01.pth", folder)
    support.assert_refused(support.convert(folder, tmp_path / "out", expect=65), 65, "different tensors", "layers.1.")


def test_an_index_that_names_a_missing_shard_is_refused(hf, tmp_path):
    folder = make("bin_index", tmp_path / "in", hf)
    (folder / HALVES[1]).unlink()
    support.assert_refused(support.convert(folder, tmp_path / "out", expect=65), 65, HALVES[1])


def test_a_part_that_is_missing_without_an_index_is_named(hf, tmp_path):
    folder = make("bin_parts", tmp_path / "in", hf)
    (folder / HALVES[0]).unlink()
    support.assert_refused(support.convert(folder, tmp_path / "out", expect=65), 65, HALVES[0])


# --- pickles that want more than to be read

def nested(depth):
    return b"\x80\x02" + b"(" * depth + b"t" * depth + b"."


def shared_bomb(levels):
    """A list that holds the one before it twice, and so on: 2^levels leaves."""
    return b"\x80\x02]q\0" + b"".join(b"](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(levels)) + b"."


MARKER = "/tmp/ckpt-pickle-was-run"
MALICIOUS = {
    "os.system": (b"\x80\x02cos\nsystem\n(" + pth_writer.text(f"touch {MARKER}") + b"tR.", "os.system"),
    "posix.system": (b"\x80\x02cposix\nsystem\n(" + pth_writer.text(f"touch {MARKER}") + b"tR.", "posix.system"),
    "eval": (b"\x80\x02cbuiltins\neval\n(" + pth_writer.text(f"open({MARKER!r}, 'w')") + b"tR.", "builtins.eval"),
    "dotted name": (b"\x80\x04" + b"\x8c\x05torch\x8c\x17serialization.os.system\x93.", "serialization.os.system"),
    "dotted storage": (b"\x80\x04\x8c\x05torch\x8c\x10FloatStorage.new\x93.", "FloatStorage.new"),
    "instance": (b"\x80\x02(" + pth_writer.text("x") + b"ios\nsystem\n.", "INST"),
    "extension": (b"\x80\x02\x82\x01.", "EXT1"),
    "deep nesting": (nested(500_000), None),
    "shared lists": (shared_bomb(60), None),
    "itself": (b"\x80\x02}q\0" + pth_writer.text("a") + b"h\0s.", "holds itself"),
    "many lists": (b"\x80\x02(" + b"]" * 40_000_000 + b"t.", None),
    "huge string": (b"\x80\x02\x8d" + struct.pack("<Q", 2**63) + b"x.", "BINUNICODE8"),
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_malicious_pickle_is_refused_in_little_time_and_memory(name, tmp_path):
    pickle, words = MALICIOUS[name]
    pth_writer.write_pickle(tmp_path / "model.pth", pickle)
    ran = support.run("inspect", tmp_path / "model.pth")
    assert ran.exit_code in (0, 65, 71) and "Traceback" not in ran.stderr
    if words:
        support.assert_refused(ran, 65, words, "model.pth")
    assert ran.exit_code != 0 or json.loads(support.run("inspect", tmp_path / "model.pth", "--json").stdout)["tensors"] == {}
    assert ran.peak_rss_bytes < 256 * support.MIB and ran.cpu_s < 5
    assert not support.Path(MARKER).exists()


def test_a_deflated_pickle_that_grows_is_stopped_at_its_size(tmp_path):
    """A zip bomb: a directory that says 64 MiB and a kilobyte, and one that lies about the size."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(b"\x80\x02" + b"N0" * (40 * support.MIB)) + bomb.flush()
    label = b"archive/data.pkl"
    for size in (80 * support.MIB + 2, 1000):
        local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 0, 0, 8, 0, 0, 0, len(packed), size, len(label), 0) + label
        entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 0, 0, 0, 8, 0, 0, 0, len(packed), size, len(label), 0, 0, 0, 0, 0, 0) + label
        end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
        (tmp_path / "model.pth").write_bytes(local + packed + entry + end)
        ran = support.run("inspect", tmp_path / "model.pth")
        support.assert_refused(ran, 65, "data.pkl")
        assert ran.peak_rss_bytes < 256 * support.MIB and ran.cpu_s < 5


# --- 8 GB

@pytest.fixture(scope="module")
def meta_8gb():
    shape, _ = support.make_model.PRESETS["8gb"]
    with support.shared_folder("meta-8gb-sparse") as folder:
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            meta_model.write_sparse(folder, shape, 8, support.MIB)
            (folder / "complete").touch()
    return folder, shape


@pytest.mark.parametrize("kind", ["bf16", "int8_per_channel", "maxtext"])
def test_8_shards_of_8_gb_pass_under_the_budget(kind, meta_8gb):
    flags = ("--memory", "256MiB")
    if kind == "maxtext":
        ran = support.run("convert", meta_8gb[0], "null:", "--to", "maxtext", "--outputs", "scanned", *flags, expect=0)
    else:
        ran = support.convert(meta_8gb[0], "null:", *flags, kind=kind)
    print(f"peak RSS {ran.peak_rss_bytes / support.MIB:.0f} MiB, {ran.wall_s:.1f} s, {ran.cpu_s:.1f} s CPU")
    assert ran.peak_rss_bytes <= (256 + 64) * support.MIB


def test_8_shards_of_8_gb_reach_the_disk_element_by_element(meta_8gb, disk):
    source, shape = meta_8gb
    support.convert(source, disk / "out", "--memory", "256MiB")
    made = SafetensorsFile(disk / "out/model.safetensors")
    compared = 0
    for name, extents in meta_model.sparse_names(shape):
        ours = np.frombuffer(made.bytes_of(name), np.uint16).reshape(extents if len(extents) > 1 else (1, *extents))
        step = max(1, ours.shape[0] // 61)
        for row in {*range(0, ours.shape[0], step), ours.shape[0] - 1}:
            assert np.array_equal(ours[row], planted_values(name, extents, row, support.MIB)), (name, row)
            compared += ours.shape[1]
    print(f"{compared} elements compared")
    assert compared > 20_000_000

"""Mixtral: the .pt pieces and the same model in Hugging Face's names become equal checkpoints for both servers, and the golden."""

import json
import shutil

import numpy as np
import pytest

import mixtral_model
import pth_file
import real_orbax
import support
from compare import differences
from safetensors_file import SafetensorsFile
from sparse_check import planted_elements

SOURCE = support.GOLDEN / "jetstream-pytorch/mixtral/input"
CONFIG = json.loads((SOURCE / "config.json").read_text())
HEADS, KV, EXPERTS = (CONFIG[key] for key in ("num_attention_heads", "num_key_value_heads", "num_local_experts"))
OUTPUTS = ("scanned", "unscanned")
GOLDEN = support.GOLDEN / "jetstream-pytorch/mixtral"
TYPES = ("bf16", "int8_per_channel", "int4_per_channel")


def halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of neighbouring pairs as rows of the two halves of a head."""
    width = rows.shape[-1]
    return rows.reshape(heads, -1, 2, width).transpose(0, 2, 1, 3).reshape(-1, width)


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """The golden's .pt pieces under Hugging Face's names."""
    folder = tmp_path_factory.mktemp("hf")
    merged = {}
    for path in sorted(SOURCE.glob("*.pt")):
        merged |= pth_file.read_pth(path)
    tensors = {}

    def put(name: str, array: np.ndarray) -> None:
        tensors[name] = ("BF16", array.shape, np.ascontiguousarray(array).tobytes())

    for name, (dtype, shape, data) in merged.items():
        if name == "freqs_cis":
            continue
        assert dtype == "BF16"
        array = np.frombuffer(data, np.uint16).reshape(shape)
        whole = {"tok_embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight",
                 "output.weight": "lm_head.weight"}
        if name in whole:
            put(whole[name], array)
            continue
        _, layer, *rest = name.split(".")
        prefix = f"model.layers.{layer}."
        part = ".".join(rest)
        if part in ("attention_norm.weight", "ffn_norm.weight"):
            put(prefix + {"a": "input", "f": "post_attention"}[part[0]] + "_layernorm.weight", array)
        elif part == "block_sparse_moe.gate.weight":
            put(prefix + part, array)
        elif part.startswith("block_sparse_moe.w"):
            for expert, matrix in enumerate(np.split(array, EXPERTS)):
                put(f"{prefix}block_sparse_moe.experts.{expert}.{rest[-1]}.weight", matrix.T if rest[-1] == "w2" else matrix)
        else:
            letter = rest[1][1]  # wq wk wv wo
            turned = halves(array, HEADS if letter == "q" else KV) if letter in "qk" else array
            put(f"{prefix}self_attn.{letter}_proj.weight", turned)
    support.write_tensors(folder / "model.safetensors", tensors)
    shutil.copy(SOURCE / "config.json", folder)
    return folder


@pytest.mark.parametrize("output", OUTPUTS)
def test_both_forms_become_the_same_checkpoint(output, hugging_face, tmp_path):
    support.convert_maxtext(SOURCE, tmp_path / "pt", OUTPUTS)
    support.convert_maxtext(hugging_face, tmp_path / "hf", OUTPUTS)
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", support.items(tmp_path / "pt", output),
                                 support.items(tmp_path / "hf", output))
    print(said)
    assert said.strip().endswith("leaves equal, 0 differ")


def test_quantized_experts_are_refused_by_name(hugging_face, tmp_path):
    said = support.run("convert", hugging_face, tmp_path / "out", "--to", "maxtext", "--outputs", "int8")
    support.assert_refused(said, 64, "mixture of experts", "MoeBlock_0")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", TYPES)
def test_the_pieces_equal_the_golden(kind, tmp_path):
    support.convert(SOURCE, tmp_path / "out", kind=kind)
    assert differences(tmp_path / "out/model.safetensors", GOLDEN / kind / "model.safetensors") == []
    assert json.loads((tmp_path / "out/params.json").read_text()) == json.loads((GOLDEN / kind / "params.json").read_text())


@pytest.mark.parametrize("flags", [(), ("--threads", "1"), ("--threads", "7", "--bundle-size", "1MiB")], ids=str)
@pytest.mark.parametrize("kind", TYPES)
def test_hugging_faces_experts_give_the_same_file(kind, flags, hugging_face, tmp_path):
    support.convert(hugging_face, tmp_path / "out", *flags, kind=kind)
    assert support.fingerprint(tmp_path / "out/model.safetensors") == support.fingerprint(GOLDEN / kind / "model.safetensors")


@pytest.mark.parametrize("kind", ["int8_blockwise", "int4_blockwise"])
def test_blockwise_experts_are_refused_by_name(kind, tmp_path):
    support.assert_refused(support.convert(SOURCE, tmp_path / "out", kind=kind, expect=64), 64, kind, "cond_ffn.w1", "per_channel")


def test_a_nan_in_an_expert_is_found_where_it_lies(hugging_face, tmp_path):
    """The second matrix of .pt pieces is read as boxes: the message still names the source's own index."""
    shutil.copytree(hugging_face, tmp_path / "in")
    tensors = support.read_tensors(tmp_path / "in/model.safetensors")
    name = "model.layers.0.block_sparse_moe.experts.2.w2.weight"
    dtype, shape, data = tensors[name]
    bits = np.frombuffer(data, np.uint16).reshape(shape).copy()
    bits[5, 7] = 0x7FC0
    tensors[name] = (dtype, shape, bits.tobytes())
    support.write_tensors(tmp_path / "in/model.safetensors", tensors)
    ran = support.convert(tmp_path / "in", tmp_path / "out", kind="int8_per_channel", expect=65)
    support.assert_refused(ran, 65, name, "[5, 7]", "NaN")


# --- 8 GB

@pytest.mark.parametrize("kind", ["bf16", "int8_per_channel", "maxtext"])
def test_pieces_of_8_gb_pass_under_the_budget(kind):
    source, flags = mixtral_model.folder(), ("--memory", "256MiB")
    if kind == "maxtext":
        ran = support.run("convert", source, "null:", "--to", "maxtext", "--outputs", "scanned", *flags, expect=0)
    else:
        plan = json.loads(support.run("plan", source, "--to", "jetstream-pytorch", "--json", *flags, expect=0).stdout)
        again = {reread["array"]: reread["bytes"] for reread in plan["rereads"]}
        print("read twice:", again)
        # The second matrix of the experts is stored transposed: what it costs is said before.
        assert sum("cond_ffn.w2" in name for name in again) == mixtral_model.LAYERS
        ran = support.convert(source, "null:", *flags, kind=kind)
    print(f"peak RSS {ran.peak_rss_bytes / support.MIB:.0f} MiB, {ran.wall_s:.1f} s, {ran.cpu_s:.1f} s CPU")
    assert ran.peak_rss_bytes <= (256 + 64) * support.MIB


def test_pieces_of_8_gb_reach_the_disk_element_by_element(disk):
    support.convert(mixtral_model.folder(), disk / "out", "--memory", "256MiB")
    told = support.report(disk / "out")["bytes"]
    planned = told["headers"] + told["source_tensors"] + told["read_twice"]
    assert 0.99 * planned < told["read"] <= planned  # requests of a box end at a window's end, not after the gap behind it
    made = SafetensorsFile(disk / "out/model.safetensors")
    compared = 0
    for name, shape in mixtral_model.shapes().items():
        ours = np.frombuffer(made.bytes_of(name.replace("block_sparse_moe.w", "block_sparse_moe.cond_ffn.w")), np.uint16)
        places, patterns = planted_elements(name, shape, support.MIB)
        if name.endswith(".w2"):  # [x f, e] to [x, e, f]
            rows, columns = np.divmod(places, mixtral_model.DIM)
            experts, inside = np.divmod(rows, mixtral_model.MLP)
            places = (experts * mixtral_model.DIM + columns) * mixtral_model.MLP + inside
        assert np.array_equal(ours[places], patterns), name
        assert np.count_nonzero(ours) == np.count_nonzero(patterns), name
        compared += len(ours)
    print(f"{compared} elements compared")
    assert compared > 4_000_000_000 - 200_000_000

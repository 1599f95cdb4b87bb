"""Gemma: Kaggle's Flax files become what MaxText's own tools wrote, the .ckpt release what JetStream-PyTorch's converter wrote."""

import json

import gguf
import numpy as np
import pytest

import bfloat16
import kaggle_model
import real_orbax
import support
from compare import differences
from safetensors_file import SafetensorsFile
from sparse_check import planted_elements

MAXTEXT = support.GOLDEN / "maxtext"
PYTORCH = support.GOLDEN / "jetstream-pytorch/gemma"
SIZES = ("gemma-2b", "gemma-7b")  # queries, keys and values in two tensors, and in one
ORIGINALS = {"scanned": "final/scanned/0/items", "unscanned": "final/unscanned/0/checkpoints/0/items"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{size: folder} of three outputs of each Kaggle golden."""
    folder = tmp_path_factory.mktemp("gemma")
    for size in SIZES:
        support.convert_maxtext(MAXTEXT / size / "kaggle", folder / size, ("scanned", "unscanned", "int8"))
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("output", ORIGINALS)
def test_every_leaf_equals_the_original(size, output, made):
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", support.items(made / size, output),
                                 MAXTEXT / size / ORIGINALS[output], "--jax")
    print(said)
    assert said.strip().endswith("leaves equal, 0 differ")


@pytest.mark.parametrize("size", SIZES)
def test_int8_from_kaggles_layout_is_int8_from_maxtexts(size, made, tmp_path):
    """Statistics across rows: scales of the einsum layout are those of the unscanned bf16 checkpoint."""
    again = tmp_path / "again"
    support.convert_maxtext(support.items(made / size, "unscanned"), again, ("int8",))
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", again / "int8", made / size / "int8")
    print(said)
    assert said.strip().endswith("leaves equal, 0 differ")


@pytest.mark.parametrize("size", SIZES)
def test_kaggles_files_in_one_database_give_the_same_outputs(size, made, tmp_path):
    """Later releases are stored as OCDBT; real Orbax makes the same of the golden."""
    real_orbax.run_script(real_orbax.NEWEST, "orbax_resave.py", MAXTEXT / size / "kaggle", tmp_path / "kaggle")
    assert (tmp_path / "kaggle/manifest.ocdbt").exists()
    support.convert_maxtext(tmp_path / "kaggle", tmp_path / "out", ("scanned", "unscanned", "int8"))
    assert support.outputs_of(tmp_path / "out") == support.outputs_of(made / size)


def test_a_small_stand_in_keeps_its_vocabulary_under_a_known_name(tmp_path):
    support.convert_maxtext(MAXTEXT / "gemma-7b/kaggle", tmp_path / "out", ("unscanned",), model="gemma-7b")
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", support.items(tmp_path / "out", "unscanned"),
                                 MAXTEXT / "gemma-7b" / ORIGINALS["unscanned"])
    assert said.strip().endswith("leaves equal, 0 differ")


@pytest.mark.parametrize("kind", ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"))
def test_the_ckpt_release_equals_the_golden(kind, tmp_path):
    support.convert(PYTORCH / "input", tmp_path / "out", kind=kind)
    assert differences(tmp_path / "out/model.safetensors", PYTORCH / kind / "model.safetensors") == []
    ours = json.loads((tmp_path / "out/params.json").read_text())
    assert ours == json.loads((PYTORCH / kind / "params.json").read_text())


# --- one small Gemma in every form, to JetStream-PyTorch

HEADS, KV_HEADS, WIDTH, DIM, MLP, VOCAB, LAYERS = 4, 1, 64, 128, 256, 96, 2
RENAMED = {"embed_tokens": "embedder", "self_attn.q_proj": "self_attn.wq", "self_attn.k_proj": "self_attn.wk",
           "self_attn.v_proj": "self_attn.wv"}
GGUF = {"embed_tokens": "token_embd", "norm": "output_norm", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
TYPES = ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")


def small_gemma():
    """{name without "model." and ".weight": bf16 bits}."""
    noise = np.random.default_rng(11)
    shapes = {"embed_tokens": (VOCAB, DIM), "norm": (DIM,)}
    for layer in range(LAYERS):
        of = {"input_layernorm": (DIM,), "post_attention_layernorm": (DIM,), "self_attn.q_proj": (HEADS * WIDTH, DIM),
              "self_attn.k_proj": (KV_HEADS * WIDTH, DIM), "self_attn.v_proj": (KV_HEADS * WIDTH, DIM),
              "self_attn.o_proj": (DIM, HEADS * WIDTH), "mlp.gate_proj": (MLP, DIM), "mlp.up_proj": (MLP, DIM),
              "mlp.down_proj": (DIM, MLP)}
        shapes |= {f"layers.{layer}.{name}": shape for name, shape in of.items()}
    return {name: bfloat16.from_float32(noise.normal(0, 0.5, shape).astype(np.float32)) for name, shape in shapes.items()}


def split_name(name):
    """("layers.0.", "mlp.up_proj") of a layer's tensor, ("", name) of another."""
    parts = name.split(".", 2)
    return (f"layers.{parts[1]}.", parts[2]) if len(parts) == 3 else ("", name)


def write_form(form, folder, weights):
    folder.mkdir()
    if form == "gguf":
        writer = gguf.GGUFWriter(folder / "model.gguf", "gemma")
        for add, value in ((writer.add_block_count, LAYERS), (writer.add_embedding_length, DIM), (writer.add_feed_forward_length, MLP),
                           (writer.add_head_count, HEADS), (writer.add_head_count_kv, KV_HEADS), (writer.add_key_length, WIDTH),
                           (writer.add_value_length, WIDTH), (writer.add_vocab_size, VOCAB)):
            add(value)
        for name, bits in weights.items():
            layer, rest = split_name(name)
            label = layer.replace("layers.", "blk.") + GGUF[rest] + ".weight"
            if bits.ndim == 1:  # llama.cpp's converter adds 1, in float32
                writer.add_tensor(label, bfloat16.to_float32(bits) + np.float32(1))
            else:
                writer.add_tensor(label, bits.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return folder
    tensors = {f"model.{name}.weight": bits for name, bits in weights.items()}
    if form == "kaggle":
        tensors = {"transformer/embedder/input_embedding": weights["embed_tokens"], "transformer/final_norm/scale": weights["norm"]}
        for layer in range(LAYERS):
            of = {rest: weights[name] for name in weights for at, rest in [split_name(name)] if at == f"layers.{layer}."}

            def heads(name, of=of):  # [n d, e] -> [n, e, d]
                return of[name].reshape(-1, WIDTH, DIM).transpose(0, 2, 1)
            made = {"pre_attention_norm/scale": of["input_layernorm"], "pre_ffw_norm/scale": of["post_attention_layernorm"],
                    "attn/q_einsum/w": heads("self_attn.q_proj"),
                    "attn/kv_einsum/w": np.stack([heads("self_attn.k_proj"), heads("self_attn.v_proj")]),
                    "attn/attn_vec_einsum/w": of["self_attn.o_proj"].T.reshape(HEADS, WIDTH, DIM),
                    "mlp/gating_einsum/w": np.stack([of["mlp.gate_proj"].T, of["mlp.up_proj"].T]), "mlp/linear/w": of["mlp.down_proj"].T}
            tensors |= {f"transformer/layer_{layer}/{name}": bits for name, bits in made.items()}
    else:
        config = {"architectures": ["GemmaForCausalLM"], "model_type": "gemma", "num_hidden_layers": LAYERS, "hidden_size": DIM,
                  "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": WIDTH, "intermediate_size": MLP,
                  "vocab_size": VOCAB}
        (folder / "config.json").write_text(json.dumps(config))
    support.write_tensors(folder / "model.safetensors",
                          {name: ("BF16", bits.shape, np.ascontiguousarray(bits).tobytes()) for name, bits in tensors.items()})
    return folder


@pytest.mark.parametrize("form", ["hf", "gguf", "kaggle"])
def test_every_form_of_a_small_gemma_gives_the_same_file(form, tmp_path):
    """Values that the source computed (norms to which 1 was added) are what the server wants again."""
    weights = small_gemma()
    source = write_form(form, tmp_path / "in", weights)
    flags = ("--family", "gemma") if form == "kaggle" else ()
    expected = {}
    for name, bits in weights.items():
        layer, rest = split_name(name)
        expected[f"{layer}{RENAMED.get(rest, rest)}.weight"] = ("BF16", bits.shape, bits.tobytes())
    support.convert(source, tmp_path / "bf16", *flags)
    made = support.read_tensors(tmp_path / "bf16/model.safetensors")
    assert {name: (dtype, tuple(shape), data) for name, (dtype, shape, data) in made.items()} == expected
    if form == "hf":
        return
    plain = write_form("hf", tmp_path / "hf", weights)
    for kind in TYPES[1:]:
        support.convert(source, tmp_path / kind, *flags, kind=kind)
        support.convert(plain, tmp_path / f"hf-{kind}", kind=kind)
        assert support.fingerprint(tmp_path / kind / "model.safetensors") == support.fingerprint(tmp_path / f"hf-{kind}/model.safetensors"), kind
    # Scales across the rows of Kaggle's einsums are those of Hugging Face's matrices.
    outputs = ("scanned", "unscanned", "int8")
    support.convert_maxtext(source, tmp_path / "maxtext", outputs, *flags)
    support.convert_maxtext(plain, tmp_path / "hf-maxtext", outputs)
    assert support.outputs_of(tmp_path / "maxtext") == support.outputs_of(tmp_path / "hf-maxtext")


# --- of the 7B's shape

# What a container of 4 CPUs and 4 GiB takes by itself: 128 MiB for each core and two more.
SMALL_CONTAINER = ("--threads", "4", "--memory", "768MiB")


def assert_small(ran):
    print(f"peak RSS {ran.peak_rss_bytes / support.MIB:.0f} MiB, {ran.wall_s:.1f} s, {ran.cpu_s:.1f} s CPU")
    assert ran.peak_rss_bytes <= (768 + 64) * support.MIB


def test_one_chunk_for_each_array_passes_under_a_small_budget_to_maxtext():
    assert_small(support.convert_maxtext(kaggle_model.folder(), "null:", ("scanned",), *SMALL_CONTAINER))


def test_one_chunk_for_each_array_passes_under_a_small_budget_to_pytorch_element_by_element(disk):
    assert_small(support.convert(kaggle_model.folder(), disk / "out", *SMALL_CONTAINER))
    made = SafetensorsFile(disk / "out/model.safetensors")
    compared = 0

    def hold(name, places, patterns):
        nonlocal compared
        ours = np.frombuffer(made.bytes_of(name), np.uint16)
        assert np.array_equal(ours[places], patterns), name
        assert np.count_nonzero(ours) == np.count_nonzero(patterns), name
        compared += len(ours)

    d, n, w, f = kaggle_model.DIM, kaggle_model.HEADS, kaggle_model.WIDTH, kaggle_model.MLP
    for name, shape in kaggle_model.shapes().items():
        places, patterns = planted_elements(name, shape, support.MIB)
        at = np.unravel_index(places, shape)
        layer = f"layers.{name.split('/')[1].removeprefix('layer_')}."
        whole = {"transformer/embedder/input_embedding": "embedder", "transformer/final_norm/scale": "norm"}
        part = "/".join(name.split("/")[2:])
        if name in whole:
            hold(whole[name] + ".weight", places, patterns)
        elif part.endswith("norm/scale"):
            hold(layer + {"a": "input_layernorm", "f": "post_attention_layernorm"}[part[4]] + ".weight", places, patterns)
        elif part == "attn/qkv_einsum/w":  # [3, n, d, w] to three of [(n w), d]
            for which, letter in enumerate("qkv"):
                own = at[0] == which
                hold(f"{layer}self_attn.w{letter}.weight", ((at[1] * w + at[3]) * d + at[2])[own], patterns[own])
        elif part == "attn/attn_vec_einsum/w":  # [n, w, d] to [d, (n w)]
            hold(f"{layer}self_attn.o_proj.weight", at[2] * n * w + at[0] * w + at[1], patterns)
        elif part == "mlp/gating_einsum/w":  # [2, d, f] to two of [f, d]
            for which, word in enumerate(("gate", "up")):
                own = at[0] == which
                hold(f"{layer}mlp.{word}_proj.weight", (at[2] * d + at[1])[own], patterns[own])
        else:
            assert part == "mlp/linear/w"  # [f, d] to [d, f]
            hold(f"{layer}mlp.down_proj.weight", at[1] * f + at[0], patterns)
    print(f"{compared} elements compared")
    assert compared > 1_300_000_000

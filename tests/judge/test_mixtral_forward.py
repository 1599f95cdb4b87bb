"""An independent forward pass: a small Mixtral says the same after each conversion, from each form of its weights."""

import json
from dataclasses import replace

import numpy as np
import pytest

import bfloat16
import forward
import maxtext_reference
import mixtral_forward
import pth_writer
import real_orbax
import support
from llama import Config

LAYERS, DIM, HEADS, KV_HEADS, WIDTH, MLP, EXPERTS, VOCAB = 3, 64, 4, 2, 16, 96, 4, 80
CONFIG = Config(layers=LAYERS, heads=HEADS, kv_heads=KV_HEADS, head_dim=WIDTH, eps=1e-5, theta=1e6)
TOKENS = [3, 71, 18, 44, 9, 60, 27, 5, 33, 79, 0, 12]
FORMS = ("hf", "pt")
MAXTEXT = ("scanned", "unscanned")
JETSTREAM = ("bf16", "int8_per_channel")
# KL in nats, mean and largest. MaxText's scale of queries is a power of two here: nothing is rounded.
BOUNDS = {"scanned": (1e-9, 1e-8), "unscanned": (1e-9, 1e-8), "bf16": (1e-9, 1e-8), "int8_per_channel": (5e-3, 2e-2)}


def make():
    """{Hugging Face's name: bf16 bits}."""
    noise, shapes = np.random.default_rng(29), {"model.embed_tokens.weight": (VOCAB, DIM), "lm_head.weight": (VOCAB, DIM),
                                                "model.norm.weight": (DIM,)}
    for layer in range(LAYERS):
        of = {"input_layernorm": (DIM,), "post_attention_layernorm": (DIM,), "self_attn.q_proj": (HEADS * WIDTH, DIM),
              "self_attn.k_proj": (KV_HEADS * WIDTH, DIM), "self_attn.v_proj": (KV_HEADS * WIDTH, DIM),
              "self_attn.o_proj": (DIM, HEADS * WIDTH), "block_sparse_moe.gate": (EXPERTS, DIM)}
        for expert in range(EXPERTS):
            of |= {f"block_sparse_moe.experts.{expert}.{part}": (DIM, MLP) if part == "w2" else (MLP, DIM) for part in ("w1", "w2", "w3")}
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of.items()}
    return {name: bfloat16.from_float32(noise.normal(1 if len(shape) == 1 else 0, 1.5 / np.sqrt(shape[-1]), shape).astype(np.float32))
            for name, shape in shapes.items()}


def write_hf(folder, weights):
    folder.mkdir()
    support.write_tensors(folder / "model.safetensors", {name: ("BF16", bits.shape, bits.tobytes()) for name, bits in weights.items()})


def paired(bits):
    """Rows of the two halves of a head as neighbouring pairs."""
    return bits.reshape(-1, 2, WIDTH // 2, DIM).swapaxes(1, 2).reshape(-1, DIM)


def write_pt(folder, weights):
    """Eight pieces: experts stacked by rows, the second matrix transposed."""
    folder.mkdir()
    made = {"tok_embeddings.weight": weights["model.embed_tokens.weight"], "norm.weight": weights["model.norm.weight"],
            "output.weight": weights["lm_head.weight"]}
    for layer in range(LAYERS):
        def of(name, layer=layer):
            return weights[f"model.layers.{layer}.{name}.weight"]
        own = {"attention_norm.weight": of("input_layernorm"), "ffn_norm.weight": of("post_attention_layernorm"),
               "attention.wq.weight": paired(of("self_attn.q_proj")), "attention.wk.weight": paired(of("self_attn.k_proj")),
               "attention.wv.weight": of("self_attn.v_proj"), "attention.wo.weight": of("self_attn.o_proj"),
               "block_sparse_moe.gate.weight": of("block_sparse_moe.gate")}
        for part in ("w1", "w2", "w3"):
            experts = [of(f"block_sparse_moe.experts.{expert}.{part}") for expert in range(EXPERTS)]
            own[f"block_sparse_moe.{part}"] = np.concatenate([matrix.T if part == "w2" else matrix for matrix in experts])
        made |= {f"layers.{layer}.{name}": bits for name, bits in own.items()}
    tensors = {name: ("BF16", bits.shape, np.ascontiguousarray(bits).tobytes()) for name, bits in made.items()}
    for piece in range(8):
        pth_writer.write(folder / f"consolidated.{piece:02}.pt", dict(list(tensors.items())[piece::8]))


@pytest.fixture(scope="module")
def source():
    """The source as a model."""
    return mixtral_forward.of_hf(CONFIG, {name: bfloat16.to_float32(bits) for name, bits in make().items()})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{(form, output): model}."""
    folder, weights, made, wanted = tmp_path_factory.mktemp("mixtral"), make(), {}, []
    config = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": DIM, "intermediate_size": MLP,
              "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "num_attention_heads": HEADS,
              "num_key_value_heads": KV_HEADS, "num_hidden_layers": LAYERS, "vocab_size": VOCAB, "head_dim": WIDTH}
    for form, write in (("hf", write_hf), ("pt", write_pt)):
        write(folder / form, weights)
        (folder / form / "config.json").write_text(json.dumps(config))
        support.convert_maxtext(folder / form, folder / f"{form}-maxtext", MAXTEXT)
        wanted += [(form, output, str(folder / f"{form}-{output}.npz")) for output in MAXTEXT]
        for kind in JETSTREAM:
            support.convert(folder / form, folder / f"{form}-{kind}", kind=kind)
            made[form, kind] = mixtral_forward.of_jetstream(CONFIG, folder / f"{form}-{kind}")
    jobs = [real_orbax.job(support.items(folder / f"{form}-maxtext", output), "whole", save=save) for form, output, save in wanted]
    assert [result["error"] for result in real_orbax.restore(real_orbax.NEWEST, jobs) if "error" in result] == []
    for form, output, save in wanted:
        made[form, output] = mixtral_forward.of_maxtext(CONFIG, maxtext_reference.read_leaves(save))
    return made


@pytest.mark.parametrize("output", (*MAXTEXT, *JETSTREAM))
@pytest.mark.parametrize("form", FORMS)
def test_every_position_agrees_with_the_source(form, output, models, source):
    distance = forward.divergence(mixtral_forward.logits(source, TOKENS), mixtral_forward.logits(models[form, output], TOKENS))
    print(f"{form} {output}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}")
    mean, largest = BOUNDS[output]
    assert distance["kl_mean"] <= mean
    assert distance["kl_max"] <= largest


def experts_turned(model):
    """Each expert's weights in its neighbour's place."""
    return replace(model, weights={name: np.roll(value, 1, axis=0) if "cond_ffn" in name else value
                                   for name, value in model.weights.items()})


def gate_for_up(model):
    return replace(model, weights={name.replace(".w1", ".w#").replace(".w3", ".w1").replace(".w#", ".w3"): value
                                   for name, value in model.weights.items()})


@pytest.mark.parametrize("mistake", [experts_turned, gate_for_up, lambda model: model.with_wrong_rotary()],
                         ids=["experts", "gate", "rotary"])
@pytest.mark.parametrize("output", (*MAXTEXT, *JETSTREAM))
def test_a_mistake_breaks_the_bound(output, mistake, models, source):
    found = mixtral_forward.logits(mistake(models["hf", output]), TOKENS)
    distance = forward.divergence(mixtral_forward.logits(source, TOKENS), found)
    print(f"KL mean {distance['kl_mean']:.1e}")
    assert distance["kl_mean"] > 4 * BOUNDS[output][0]

"""Converted Gemmas are still the same model: a numpy forward pass over what real Orbax restored, against the source.

Bounds on the KL divergence in nats, with what small random models of bf16 weights measured, on average and at the worst position.
MaxText in bf16 (4e-4 and 2e-3; measured 1.3e-4 and 4.7e-4): it stores norms + 1, embedding * sqrt(dim) and, before Gemma 3, scaled
queries, each rounded to bf16. Against the source with these very roundings nothing is left (1e-9; measured 0).
JetStream-PyTorch in bf16 (1e-6; measured 3e-8) stores the source's bits; its server alone does not round the embedding's factor.
int8 (5e-3 and 2e-2; measured 2e-3 and 8e-3). Each mistake is far beyond these bounds.
"""

from dataclasses import replace

import numpy as np
import pytest

import bfloat16
import forward
import gemma_forward
import gemma_reference
import maxtext_reference
import pth_writer
import real_orbax
import support
import test_gemma
import test_gemma23
from gemma_forward import Config
from gemma_reference import Sizes

MAXTEXT = ("scanned", "unscanned")
JETSTREAM = ("bf16", "int8_per_channel")
TOKENS = [(7 * i * i + 3 * i + 1) % 47 for i in range(16)]
WINDOW = 5  # of local layers: the text is longer
SIZES = {"gemma2": Sizes(2, layers=4), "gemma2-27b": Sizes(2, layers=4, scalar=12), "gemma3": Sizes(3, layers=14)}
CONFIGS = {
    "gemma": Config(1, test_gemma.LAYERS, test_gemma.HEADS, test_gemma.KV_HEADS, test_gemma.WIDTH, scalar=test_gemma.WIDTH),
    **{name: Config(sizes.generation, sizes.layers, sizes.heads, sizes.kv_heads, sizes.head_dim, sizes.scalar, WINDOW,
                    theta=1e6 if name == "gemma3" else 1e4) for name, sizes in SIZES.items()},
}
FORMS = {"gemma": ("hf", "kaggle", "gguf", "ckpt"), "gemma2": ("hf", "kaggle", "gguf"), "gemma2-27b": ("hf",),
         "gemma3": ("hf", "kaggle", "gguf")}
BOUNDS = {"scanned": (4e-4, 2e-3), "unscanned": (4e-4, 2e-3), "bf16": (1e-6, 1e-6), "int8": (5e-3, 2e-2),
          "int8_per_channel": (5e-3, 2e-2)}  # KL on average, and at every position


def outputs_of(name, form):
    """What is made of a source: everything where it is Hugging Face's, else what shows that it is read as the same model."""
    return (*MAXTEXT, *(("int8",) if form == "hf" else ()), *(JETSTREAM if name == "gemma" else ()))


CASES = [(name, form, output) for name, forms in FORMS.items() for form in forms for output in outputs_of(name, form)]


def bits_of(name):
    """{name: bf16 bits} of a small random model."""
    if name != "gemma":
        return gemma_reference.make(SIZES[name])
    return {name: bits if bits.ndim == 1 else bfloat16.from_float32(bfloat16.to_float32(bits) / 4)  # exact; softer attention
            for name, bits in test_gemma.small_gemma().items()}


def write_ckpt(folder, weights):
    """As the PyTorch release has it: queries, keys and values in one tensor, and all of them in an inner dictionary."""
    test_gemma.write_form("hf", folder, weights)
    (folder / "model.safetensors").unlink()
    tensors = {}
    for name, bits in weights.items():
        if "q_proj" in name:
            bits = np.concatenate([weights[name.replace("q_proj", kind)] for kind in ("q_proj", "k_proj", "v_proj")])
        label = "embedder" if name == "embed_tokens" else "model." + name.replace("q_proj", "qkv_proj")
        if "k_proj" not in name and "v_proj" not in name:
            tensors[label + ".weight"] = ("BF16", bits.shape, bits.tobytes())
    views, storages = pth_writer.split(tensors)
    inner = pth_writer.state_dict(views, storages).removeprefix(b"\x80\x02").removesuffix(b".")
    pth_writer.write_pickle(folder / "gemma.ckpt", b"\x80\x02}" + pth_writer.text("model_state_dict") + inner + b"s.", storages)


def write(name, form, folder):
    """A small model as a source of that form; (its path, flags)."""
    weights, flags = bits_of(name), ("--family", name) if form == "kaggle" else ()
    if form == "ckpt":
        write_ckpt(folder, weights)
    elif name == "gemma":
        test_gemma.write_form(form, folder, weights)
    elif form == "hf":
        test_gemma23.write_hf(folder, SIZES[name])
    elif form == "gguf":
        return test_gemma23.write_gguf(folder.with_suffix(".gguf"), SIZES[name]), flags
    else:
        test_gemma23.write_safetensors(folder, gemma_reference.kaggle(weights, SIZES[name], is_transposed=True), None)
    return folder, flags


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{(name, form, output): model}; MaxText's restored by the newest real Orbax, all in one process."""
    folder, made, wanted = tmp_path_factory.mktemp("gemma-forward"), {}, []
    for name, form in dict.fromkeys(case[:2] for case in CASES):
        source, flags = write(name, form, folder / f"{name}-{form}-in")
        outputs = [output for output in outputs_of(name, form) if output not in JETSTREAM]
        out = folder / f"{name}-{form}"
        support.convert_maxtext(source, out, outputs, *flags)
        wanted += [(name, form, output, support.items(out, output), str(out / f"{output}.npz")) for output in outputs]
        for kind in JETSTREAM if name == "gemma" else ():
            support.convert(source, folder / f"{form}-{kind}", *flags, kind=kind)
            made[name, form, kind] = gemma_forward.of_jetstream(CONFIGS[name], folder / f"{form}-{kind}")
    results = real_orbax.restore(real_orbax.NEWEST, [real_orbax.job(items, "whole", save=save) for *_, items, save in wanted])
    assert [result["error"] for result in results if "error" in result] == []
    for name, form, output, _, save in wanted:
        made[name, form, output] = gemma_forward.of_maxtext(CONFIGS[name], maxtext_reference.read_leaves(save))
    return made


@pytest.fixture(scope="module")
def sources():
    """{name: (the source, its logits)}."""
    models = {name: gemma_forward.of_source(config, {tensor: bfloat16.to_float32(bits) for tensor, bits in bits_of(name).items()})
              for name, config in CONFIGS.items()}
    return {name: (model, model.logits(TOKENS)) for name, model in models.items()}


@pytest.mark.parametrize(("name", "form", "output"), CASES)
def test_every_position_agrees_with_the_source(name, form, output, models, sources):
    source, expected = sources[name]
    found = models[name, form, output].logits(TOKENS)
    distance = forward.divergence(expected, found)
    print(f"{name} {form} {output}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}, "
          f"largest logit difference {distance['max_abs_logit_difference']:.2g}")
    mean, largest = BOUNDS[output]
    assert distance["kl_mean"] <= mean
    assert distance["kl_max"] <= largest
    if output in MAXTEXT:
        alone = forward.divergence(gemma_forward.as_maxtext_stores(source).logits(TOKENS), found)
        print(f"  beside MaxText's own roundings: KL max {alone['kl_max']:.1e}")
        assert alone["kl_max"] <= 1e-9
    if "int8" not in output:
        assert distance["top1_agreement"] == 1


def exchanged(model, first, second):
    """The model with two of its layers in each other's place."""
    names = {f"layers.{first}.": f"layers.{second}.", f"layers.{second}.": f"layers.{first}."}
    weights = {}
    for name, weight in model.weights.items():
        at = next((at for at in names if name.startswith(at)), None)
        weights[names[at] + name.removeprefix(at) if at else name] = weight
    return replace(model, weights=weights)


def gate_for_up(model):
    """The model with the two halves of its gated layers exchanged."""
    names = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    return replace(model, weights={".".join(names.get(part, part) for part in name.split(".")): weight
                                   for name, weight in model.weights.items()})


MISTAKES = {
    "norms without their 1": lambda model: replace(model, norm_offset=model.norm_offset - 1),
    "1 added to norms twice": lambda model: replace(model, norm_offset=model.norm_offset + 1),
    "queries scaled twice": lambda model: replace(model, query_divisor=model.query_divisor * np.sqrt(model.config.scalar)),
    "queries not scaled": lambda model: replace(model, query_divisor=model.query_divisor / np.sqrt(model.config.scalar)),
    "the wrong rotary order": lambda model: replace(model, interleaved=True),
    "an embedding without its factor": lambda model: replace(model, embedding_factor=model.embedding_factor / np.sqrt(
        len(model.weights["norm"]))),
    "the last two layers exchanged": lambda model: exchanged(model, model.config.layers - 2, model.config.layers - 1),
    "gate for up": gate_for_up,
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("name", "output"), [(name, output) for name, form, output in CASES if form == "hf"])
def test_a_mistake_breaks_the_bound(name, output, mistake, models, sources):
    distance = forward.divergence(sources[name][1], MISTAKES[mistake](models[name, "hf", output]).logits(TOKENS))
    print(f"{name} {output}, {mistake}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}")
    mean, largest = BOUNDS[output]
    assert distance["kl_mean"] > mean
    assert distance["kl_max"] > largest


@pytest.mark.parametrize("output", MAXTEXT)
def test_queries_scaled_by_the_width_of_a_head_break_the_bound_of_27b(output, models, sources):
    """What to_maxtext does: 6% in the real 27B, 22% here."""
    model = models["gemma2-27b", "hf", output]
    wrong = replace(model, query_divisor=model.query_divisor * np.sqrt(model.config.head_dim / model.config.scalar))
    distance = forward.divergence(sources["gemma2-27b"][1], wrong.logits(TOKENS))
    print(f"{output}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}")
    assert distance["kl_mean"] > BOUNDS[output][0]

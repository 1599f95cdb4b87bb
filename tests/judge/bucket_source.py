"""Stand-in models in every form in which a Job's source comes, read by the judge's own readers (Kaggle's Orbax folders by the real one).

Out: the models that llama.py, mixtral_forward.py and gemma_forward.py run.
"""

import json
import re
from pathlib import Path

import numpy as np

import bfloat16
import gemma_forward
import meta_model
import mixtral_forward
import pth_file
from llama import Checkpoint, Config, load_hf
from safetensors_file import SafetensorsFile

pth_file.STORAGES["ComplexFloatStorage"] = "C64", 8  # Gemma's .ckpt holds its rotary table, which nobody converts
FLOATS = {"F32": np.float32, "F16": np.float16, "I8": np.int8}


def float32(dtype, shape, data):
    """The values of a tensor's bytes."""
    raw = np.frombuffer(data, np.uint8)
    if dtype == "BF16":
        return bfloat16.to_float32(raw.view(np.uint16)).reshape(shape)
    return raw.view(FLOATS[dtype]).astype(np.float32).reshape(shape)


def is_orbax(folder):
    """Whether Orbax must restore it."""
    return Path(folder, "_METADATA").exists()


def load(folder, leaves=None):
    """The model of a folder; `leaves`: what Orbax restored of it, where it is a folder of Orbax."""
    folder = Path(folder)
    if leaves is not None:
        return _of_kaggle({name: leaf.float32() for name, leaf in leaves.items()})
    if found := sorted(folder.glob("*.ckpt")):
        return _of_gemma_ckpt(_json(folder / "config.json"), pth_file.read_pth(found[0])["model_state_dict"])
    if found := sorted(folder.glob("*.pt")):
        return _of_mixtral_pieces(_json(folder / "config.json"), [pth_file.read_pth(path) for path in found])
    if (folder / "params.json").exists():
        return _of_meta(_json(folder / "params.json"), _meta_ranks(folder))
    config = _json(folder / "config.json")
    kind = config["model_type"]
    if kind == "llama":
        return load_hf(folder)
    tensors = {name.removesuffix(".weight"): value for name, value in _safetensors(folder).items()}
    if kind == "gemma":
        weights = {name.removeprefix("model."): value for name, value in tensors.items() if name != "lm_head"}
        return gemma_forward.of_source(_gemma_config(config), weights)
    if kind == "mixtral":
        return mixtral_forward.of_hf(_mixtral_config(config), {name + ".weight": value for name, value in tensors.items()})
    raise ValueError(f"{folder}: no forward pass for {kind}")


def _json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def _safetensors(folder):
    values = {}
    for path in sorted(folder.glob("*.safetensors")):
        file = SafetensorsFile(path)
        values |= {name: float32(entry.dtype, entry.shape, file.bytes_of(name)) for name, entry in file.entries.items()}
    return values


def _gemma_config(config):
    return gemma_forward.Config(1, config["num_hidden_layers"], config["num_attention_heads"], config["num_key_value_heads"],
                                config["head_dim"], scalar=config["head_dim"], eps=config.get("rms_norm_eps", 1e-6))


def _mixtral_config(config):
    heads = config["num_attention_heads"]
    return Config(config["num_hidden_layers"], heads, config["num_key_value_heads"],
                  config.get("head_dim") or config["hidden_size"] // heads, config["rms_norm_eps"], config["rope_theta"])


def _of_gemma_ckpt(config, tensors):
    """The PyTorch release: queries, keys and values are rows of one tensor."""
    sizes, weights = _gemma_config(config), {}
    for name, tensor in tensors.items():
        if name == "freqs_cis":
            continue
        name, value = name.removesuffix(".weight").removeprefix("model."), float32(*tensor)
        if name.endswith("qkv_proj"):
            q, kv = (heads * sizes.head_dim for heads in (sizes.heads, sizes.kv_heads))
            for kind, part in zip("qkv", np.split(value, [q, q + kv])):
                weights[name.replace("qkv_proj", kind + "_proj")] = part
        else:
            weights["embed_tokens" if name == "embedder" else name] = value
    return gemma_forward.of_source(sizes, weights)


def _of_mixtral_pieces(config, pieces):
    """Experts are stacked by rows, each one's second matrix transposed."""
    sizes, weights = _mixtral_config(config), {}
    for name, tensor in (item for piece in pieces for item in piece.items()):
        value = float32(*tensor)
        if part := re.fullmatch(r"(layers\.\d+\.block_sparse_moe\.)(w[123])", name):
            value = value.reshape(config["num_local_experts"], -1, value.shape[-1])
            name, value = f"{part[1]}cond_ffn.{part[2]}", value.swapaxes(1, 2) if part[2] == "w2" else value
        weights[name] = value
    return Checkpoint(sizes, weights, True, "mixtral .pt", 16)


def _meta_ranks(folder):
    """{name: values} of each rank; a safetensors file with Meta's names is one."""
    ranks = [{name: float32(*tensor) for name, tensor in pth_file.read_pth(path).items()} for path in sorted(folder.glob("*.pth"))]
    return ranks or [_safetensors(folder)]


def _of_meta(params, ranks):
    """Ranks put together: Llama 2 cut its embedding by columns, Llama 3 by rows."""
    width = ranks[0]["tok_embeddings.weight"].shape[1]
    weights = {}
    for name, value in ranks[0].items():
        axis = meta_model.axis_of(name, 0 if width == params["dim"] else 1)
        weights[name] = value if axis is None else np.concatenate([rank[name] for rank in ranks], axis)
    heads = params["n_heads"]
    sizes = Config(params["n_layers"], heads, params.get("n_kv_heads") or heads, params["dim"] // heads, params["norm_eps"],
                   params.get("rope_theta", 10000.0))
    return Checkpoint(sizes, weights, True, "meta", 16)


KAGGLE = {"pre_attention_norm/scale": "input_layernorm", "pre_ffw_norm/scale": "post_attention_layernorm"}


def _of_kaggle(values):
    """Gemma 1 of Kaggle's Flax form: einsum matrices, heads apart."""
    tops = {"transformer/embedder/input_embedding": "embed_tokens", "transformer/final_norm/scale": "norm"}
    weights = {tops[name]: value for name, value in values.items() if name in tops}
    layers = {}
    for name, value in values.items():
        if found := re.fullmatch(r"transformer/layer_(\d+)/(.*)", name):
            layers.setdefault(found[1], {})[found[2]] = value
    for number, layer in layers.items():
        q, k, v = layer["attn/qkv_einsum/w"] if "attn/qkv_einsum/w" in layer else (layer["attn/q_einsum/w"], *layer["attn/kv_einsum/w"])
        out, down = layer["attn/attn_vec_einsum/w"], layer["mlp/linear/w"]
        gating = layer["mlp/gating_einsum/w"]  # [2, in, out] in the first releases, else [2, out, in]
        own = {hf: layer[flax] for flax, hf in KAGGLE.items()}
        own |= {"mlp.down_proj": down.T, "self_attn.o_proj": out.reshape(-1, out.shape[2]).T}
        own |= {f"self_attn.{kind}_proj": heads.swapaxes(1, 2).reshape(-1, heads.shape[1]) for kind, heads in zip("qkv", (q, k, v))}
        own |= {f"mlp.{kind}_proj": part if gating.shape[1] == len(down) else part.T for kind, part in zip(("gate", "up"), gating)}
        if "post_attention_norm/scale" in layer:
            raise ValueError(f"layer {number} is no Gemma 1: {sorted(layer)}")
        weights |= {f"layers.{number}.{name}": value for name, value in own.items()}
    sizes = gemma_forward.Config(1, len(layers), len(q), len(k), q.shape[2], scalar=q.shape[2])
    return gemma_forward.of_source(sizes, weights)

"""A sparse Mixtral of 8 GB as eight .pt pieces: zeros but for planted blocks (make_model's), with right CRCs."""

import json
import shutil

import pth_writer
import support
from support import make_model

LAYERS, DIM, HEADS, KV_HEADS, WIDTH, MLP, EXPERTS, VOCAB = 3, 4096, 32, 8, 128, 12288, 8, 32000
PIECES = 8


def shapes():
    """{name: shape} as the pieces hold them."""
    out = {"tok_embeddings.weight": (VOCAB, DIM), "norm.weight": (DIM,), "output.weight": (VOCAB, DIM)}
    for layer in range(LAYERS):
        of = {"attention_norm.weight": (DIM,), "ffn_norm.weight": (DIM,), "attention.wq.weight": (HEADS * WIDTH, DIM),
              "attention.wk.weight": (KV_HEADS * WIDTH, DIM), "attention.wv.weight": (KV_HEADS * WIDTH, DIM),
              "attention.wo.weight": (DIM, HEADS * WIDTH), "block_sparse_moe.gate.weight": (EXPERTS, DIM),
              **{f"block_sparse_moe.{part}": (EXPERTS * MLP, DIM) for part in ("w1", "w2", "w3")}}
        out |= {f"layers.{layer}.{name}": shape for name, shape in of.items()}
    return out


def write(folder, every):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": DIM, "intermediate_size": MLP,
              "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "num_attention_heads": HEADS,
              "num_key_value_heads": KV_HEADS, "num_hidden_layers": LAYERS, "vocab_size": VOCAB}
    (folder / "config.json").write_text(json.dumps(config))
    names = list(shapes().items())
    for piece in range(PIECES):
        views, storages = {}, {}
        for name, shape in names[piece::PIECES]:
            blocks = {begin: make_model.planted_pattern(name, begin, (end - begin) // 2).tobytes()
                      for begin, end in make_model.planted_blocks(name, shape, every)}
            storages[str(len(storages))] = pth_writer.SparseData(make_model.size_bytes(shape), blocks)
            views[name] = pth_writer.View(str(len(storages) - 1), "BF16", shape, pth_writer.contiguous(shape))
        pth_writer.write_views(folder / f"consolidated.{piece:02}.pt", views, storages)


def folder():
    """The model below the test data, made when it is not there yet."""
    with support.shared_folder("mixtral-8gb-sparse") as path:
        if not (path / "complete").exists():
            write(path, support.MIB)
            (path / "complete").touch()
    return path

"""Llama models as Meta publishes them: names, order of q and k rows, and how model-parallel ranks cut each tensor."""

import json

import numpy as np

import pth_writer
from llama import meta_name_of_hf
from support import make_model

# sources-and-stores.md 2.6: the axis along which a tensor is cut; None: every rank holds all of it
AXES = {"wq": 0, "wk": 0, "wv": 0, "w1": 0, "w3": 0, "output": 0, "wo": 1, "w2": 1,
        "attention_norm": None, "ffn_norm": None, "norm": None, "freqs": None}


def axis_of(name, embedding_axis):
    stem = name.removesuffix(".weight").rsplit(".", 1)[-1]
    return embedding_axis if stem == "tok_embeddings" else AXES[stem]


def paired(data, shape, head_dim):
    """q or k rows from Hugging Face's halves to Meta's pairs."""
    rows = np.frombuffer(data, np.uint8).reshape(-1, 2, head_dim // 2, len(data) // shape[0])
    return rows.transpose(0, 2, 1, 3).tobytes()


def of_hf(tensors, shape):
    """Meta's tensors of a Hugging Face model's {name: (dtype, shape, bytes)}."""
    made = {}
    for name, (dtype, extents, data) in tensors.items():
        if ".q_proj." in name or ".k_proj." in name:
            data = paired(data, extents, shape.head_dim)
        made[meta_name_of_hf(name)] = dtype, tuple(extents), data
    return made


def params(shape, vocab=-1):
    return {"dim": shape.dim, "n_layers": shape.layers, "n_heads": shape.heads, "n_kv_heads": shape.kv_heads,
            "vocab_size": vocab, "norm_eps": 1e-05, "rope_theta": 500000.0, "multiple_of": 256}


def cut(tensor, rank, count, axis):
    """The part of (dtype, shape, bytes) that one rank holds."""
    dtype, shape, data = tensor
    if axis is None:
        return tensor
    part = shape[axis] // count
    cells = np.frombuffer(data, np.uint8).reshape(*shape, -1)
    cells = cells[rank * part : (rank + 1) * part] if axis == 0 else cells[:, rank * part : (rank + 1) * part]
    extents = list(shape)
    extents[axis] = part
    return dtype, tuple(extents), cells.tobytes()


def write(folder, tensors, shape, count, embedding_axis=0, repeat=1, vocab=-1):
    """consolidated.NN.pth of `count` ranks; key and value heads are held by `repeat` neighbouring ranks each."""
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(params(shape, vocab)))
    for rank in range(count):
        own = {}
        for name, tensor in tensors.items():
            is_kv = name.endswith(("wk.weight", "wv.weight"))
            rank_of, ranks = (rank // repeat, count // repeat) if is_kv else (rank, count)
            own[name] = cut(tensor, rank_of, ranks, axis_of(name, embedding_axis))
        pth_writer.write(folder / f"consolidated.{rank:02}.pth", own)


def sparse_names(shape):
    """(Meta's name, shape) of every tensor."""
    for name, extents in shape.tensors():
        yield meta_name_of_hf(name), extents


def sparse_part(name, extents, rank, count, axis, every):
    """One rank's bytes of a planted tensor (make_model's blocks under Meta's names), as SparseData."""
    blocks = {}
    row = make_model.size_bytes(extents) // extents[0]
    part = row // count  # of a row, where axis is 1
    size = make_model.size_bytes(extents) // (1 if axis is None else count)
    for begin, end in make_model.planted_blocks(name, extents, every):
        data = make_model.planted_pattern(name, begin, (end - begin) // 2).tobytes()
        if axis is None:
            blocks[begin] = data
            continue
        at = begin
        while at < end:
            line, column = divmod(at, row)
            stop = min(end, line * row + (column // part + 1) * part) if axis == 1 else end
            owner = column // part if axis == 1 else at // size
            if axis == 0:
                stop = min(end, (owner + 1) * size)
            if owner == rank:
                blocks[line * part + column % part if axis == 1 else at - rank * size] = data[at - begin : stop - begin]
            at = stop
    return pth_writer.SparseData(size, blocks)


def write_sparse(folder, shape, count, every):
    """A sparse model of `count` ranks: zeros but for planted blocks, with right CRCs."""
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(params(shape)))
    for rank in range(count):
        views, storages = {}, {}
        for name, extents in sparse_names(shape):
            axis = axis_of(name, 0)
            own = list(extents)
            if axis is not None:
                own[axis] //= count
            storages[str(len(storages))] = sparse_part(name, extents, rank, count, axis, every)
            views[name] = pth_writer.View(str(len(storages) - 1), "BF16", tuple(own), pth_writer.contiguous(own))
        pth_writer.write_views(folder / f"consolidated.{rank:02}.pth", views, storages)

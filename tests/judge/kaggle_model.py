"""A sparse Gemma of Kaggle's form and of its 7B's shape: one zstd chunk for each array, the embedding's of 1.57 GB, by libzstd itself."""

import ctypes
import ctypes.util
import json
import shutil

import support
from support import make_model

LAYERS, DIM, HEADS, WIDTH, MLP, VOCAB = 2, 3072, 16, 256, 24576, 256128  # the 7B has 28 layers
STEP = 1 << 22


def shapes():
    """{Kaggle's name: shape}; the last part of a name follows a dot in the file's."""
    out = {"transformer/embedder/input_embedding": (VOCAB, DIM), "transformer/final_norm/scale": (DIM,)}
    for layer in range(LAYERS):
        of = {"attn/attn_vec_einsum/w": (HEADS, WIDTH, DIM), "attn/qkv_einsum/w": (3, HEADS, DIM, WIDTH),
              "mlp/gating_einsum/w": (2, DIM, MLP), "mlp/linear/w": (MLP, DIM), "pre_attention_norm/scale": (DIM,),
              "pre_ffw_norm/scale": (DIM,)}
        out |= {f"transformer/layer_{layer}/{name}": shape for name, shape in of.items()}
    return out


class Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t)]


def compress(file, pieces, size, level=1):
    """Writes one frame of `size` bytes; `pieces`: bytes-like, one after the other."""
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
    zstd.ZSTD_createCCtx.restype = ctypes.c_void_p
    zstd.ZSTD_compressStream2.restype = ctypes.c_size_t
    zstd.ZSTD_compressStream2.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer), ctypes.c_int]
    context = ctypes.c_void_p(zstd.ZSTD_createCCtx())
    zstd.ZSTD_CCtx_setParameter(context, 100, level)  # ZSTD_c_compressionLevel
    zstd.ZSTD_CCtx_setPledgedSrcSize(context, ctypes.c_ulonglong(size))
    out = ctypes.create_string_buffer(1 << 20)

    def feed(piece, mode):
        data = ctypes.create_string_buffer(bytes(piece), len(piece)) if len(piece) else None
        source = Buffer(ctypes.cast(data, ctypes.c_void_p) if data else None, len(piece), 0)
        while True:
            sink = Buffer(ctypes.cast(out, ctypes.c_void_p), len(out), 0)
            left = zstd.ZSTD_compressStream2(context, ctypes.byref(sink), ctypes.byref(source), mode)
            assert left < 1 << 62, "zstd failed"
            file.write(out.raw[: sink.at])
            if source.at == source.size and (mode == 0 or left == 0):
                return

    for piece in pieces:
        feed(piece, 0)  # ZSTD_e_continue
    feed(b"", 2)  # ZSTD_e_end
    zstd.ZSTD_freeCCtx(context)


def content(name, shape, every):
    """The bytes of a planted array, in steps."""
    size, places = make_model.size_bytes(shape), list(make_model.planted_blocks(name, shape, every))
    for begin in range(0, size, STEP):
        piece = bytearray(min(STEP, size - begin))
        for first, last in places:
            if last <= begin or first >= begin + len(piece):
                continue
            data = make_model.planted_pattern(name, first, (last - first) // 2).tobytes()
            low, high = max(first, begin), min(last, begin + len(piece))
            piece[low - begin : high - begin] = data[low - first : high - first]
        yield piece


def write(folder, every):
    shutil.rmtree(folder, ignore_errors=True)
    tree = {}
    for name, shape in shapes().items():
        head, leaf = name.rsplit("/", 1)
        tree[str((head, leaf))] = {"key_metadata": [{"key": head, "key_type": 2}, {"key": leaf, "key_type": 2}],
                                   "value_metadata": {"value_type": "jax.Array", "skip_deserialize": False}}
        array = folder / f"{head}.{leaf}"
        array.mkdir(parents=True)
        (array / ".zarray").write_text(json.dumps({
            "chunks": shape, "compressor": {"id": "zstd", "level": 1}, "dimension_separator": ".", "dtype": "bfloat16",
            "fill_value": None, "filters": None, "order": "C", "shape": shape, "zarr_format": 2}))
        with open(array / ".".join("0" for _ in shape), "wb") as file:
            compress(file, content(name, shape, every), make_model.size_bytes(shape))
    (folder / "_METADATA").write_text(json.dumps({"tree_metadata": tree, "use_zarr3": False}))


def folder():
    """The model below the test data, made when it is not there yet."""
    with support.shared_folder("kaggle-gemma-7b-shaped") as path:
        if not (path / "complete").exists():
            write(path / "model", support.MIB)
            (path / "complete").touch()
    return path / "model"

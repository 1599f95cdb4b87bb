#!/usr/bin/env python3
"""What quantizing costs two small real models: the tables of docs/quality.md.

usage: tools/quality.py                         rewrites the tables from the record, docs/quality.json
       tools/quality.py --check                 changes nothing; exit status 1 if the tables are not what the record says
       tools/quality.py --write [--program CKPT]   converts and runs both models by every scheme first, some minutes: a new record

The models are those of the tests (tests/judge/smollm2.py, gemma3_270m.py): fetched with pip where they are not in build/test-data. A forward
pass in numpy runs over the texts of tests/judge/texts.py, by the source's bf16 weights and by the dequantized ones (tests/judge/ct_reference.py). --write
needs numpy: build/venv/judge/bin/python3, which `./dev test` makes; the rest is standard library only.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from tree import ROOT

PAGE, RECORD = ROOT / "docs/quality.md", ROOT / "docs/quality.json"
BEGIN, END = "<!-- made by tools/quality.py from quality.json -->\n", "<!-- end of what tools/quality.py made -->\n"
NAMES = {"smollm2-135m": "SmolLM2-135M-Instruct", "gemma3-270m": "Gemma 3 270M"}


# --- the page: of the record alone

def table(model: dict) -> str:
    """One model's rows; `model` as the record has it."""
    text = [f"**{model['name']}**, {model['parameters'] / 1e6:.0f} million weights, {model['positions']} positions:", "",
            "| scheme | bits a weight, projections | bits a weight, all | quantized projections | mean KL (nats) | worst position | same first token |",
            "| --- | --- | --- | --- | --- | --- | --- |"]
    for word, row in model["schemes"].items():
        text.append(f"| `{word}` | {row['projection_bits']:.2f} | {row['bits']:.2f} | {row['quantized']} of {row['projections']} | "
                    f"{row['kl_mean']:.2g} | {row['kl_max']:.2g} | {100 * row['top1']:.1f} % |")
    return "\n".join(text) + "\n"


def page_with(text: str, record: dict) -> str:
    """`text` with what stands between the marks replaced by what the record says."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n".join(table(model) for model in record["models"]) + END + rest.split(END)[1]


def stale() -> bool:
    """Whether the page says something else than the record."""
    page = PAGE.read_text()
    return page_with(page, json.loads(RECORD.read_text())) != page


# --- the record: what a run of everything gives

def smollm2_config(keys: dict) -> dict:
    """config.json of the published model, by what its GGUF says."""
    of = {name.removeprefix("llama."): value for name, value in keys.items()}
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": of["embedding_length"],
            "intermediate_size": of["feed_forward_length"], "num_hidden_layers": of["block_count"],
            "num_attention_heads": of["attention.head_count"], "num_key_value_heads": of["attention.head_count_kv"],
            "vocab_size": of["vocab_size"], "rms_norm_eps": 1e-05, "rope_theta": of["rope.freq_base"], "tie_word_embeddings": True,
            "torch_dtype": "bfloat16"}


def gemma3_config(keys: dict) -> dict:
    of = {name.removeprefix("gemma3."): value for name, value in keys.items()}
    return {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": of["embedding_length"],
            "intermediate_size": of["feed_forward_length"], "num_hidden_layers": of["block_count"],
            "num_attention_heads": of["attention.head_count"], "num_key_value_heads": of["attention.head_count_kv"],
            "head_dim": of["attention.key_length"], "query_pre_attn_scalar": of["attention.key_length"],
            "vocab_size": len(keys["tokenizer.ggml.tokens"]), "rms_norm_eps": 1e-06, "rope_theta": of["rope.freq_base"],
            "sliding_window": of["attention.sliding_window"], "tie_word_embeddings": True, "torch_dtype": "bfloat16"}


def longest_pieces(text: str, tokens: list[str], first: int) -> list[int]:
    """Ids of the longest piece of the vocabulary again and again: near enough to SentencePiece for a comparison of one model."""
    ids, found, text = {token: number for number, token in reversed(list(enumerate(tokens)))}, [first], text.replace(" ", "▁")
    longest = max(map(len, ids))
    while text:
        length = next(n for n in range(min(longest, len(text)), 0, -1) if text[:n] in ids)
        found.append(ids[text[:length]])
        text = text[length:]
    return found


class Judge:
    """A model's source, and what it says to the texts."""

    def __init__(self, key: str, gguf: pathlib.Path, program: pathlib.Path, scratch: pathlib.Path):
        import gguf_file
        import tokenizer
        from texts import TEXTS
        self._key, self._gguf, self._program, self._scratch = key, gguf, program, scratch
        keys = gguf_file.GgufFile(gguf).keys
        self._config = (smollm2_config if key == "smollm2-135m" else gemma3_config)(keys)
        if key == "smollm2-135m":
            self._ids = [tokenizer.Tokenizer.of_gguf(keys).encode(text) for text in TEXTS]
        else:
            self._ids = [longest_pieces(text, keys["tokenizer.ggml.tokens"], keys["tokenizer.ggml.bos_token_id"]) for text in TEXTS]
        (scratch / "config.json").write_text(json.dumps(self._config))
        self._bf16 = self._convert(None)
        self._expected = self._logits(self._values(None))

    def _convert(self, word: str | None) -> dict:
        """The tensors of the output, as {name: (dtype, shape, bytes)}."""
        import ct_sources
        out = self._scratch / (word or "bf16")
        flags = ["--quantize", word] if word else []
        subprocess.run([self._program, "convert", self._gguf, out, "--to", "hf", "--config", self._scratch / "config.json", "--quiet", *flags],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return ct_sources.read(out)

    def _values(self, word: str | None, tensors: dict | None = None) -> dict:
        """{name: float32}."""
        import bfloat16
        import ct_reference
        if word is None:
            return {name: bfloat16.to_float32(ct_reference.as_array(tensor)) for name, tensor in self._bf16.items()}
        return ct_reference.dequantize_model(tensors, word)

    def _logits(self, values: dict) -> list:
        """float32 [positions, vocabulary] of each text."""
        import gemma_forward
        import llama
        c = self._config
        if self._key == "smollm2-135m":
            config = llama.Config(c["num_hidden_layers"], c["num_attention_heads"], c["num_key_value_heads"],
                                  c["hidden_size"] // c["num_attention_heads"], c["rms_norm_eps"], c["rope_theta"])
            weights = {llama.meta_name_of_hf(name): value for name, value in values.items()}
            weights["output.weight"] = weights["tok_embeddings.weight"]
            checkpoint = llama.Checkpoint(config, weights, False, "hf", 16)
            return [llama.Llama(checkpoint).extend(ids) for ids in self._ids]
        config = gemma_forward.Config(3, c["num_hidden_layers"], c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"],
                                      c["query_pre_attn_scalar"], c["sliding_window"], c["rope_theta"], 10000.0, c["rms_norm_eps"])
        weights = {name.removeprefix("model.").removesuffix(".weight"): value for name, value in values.items()}
        model = gemma_forward.of_source(config, weights)
        return [model.logits(ids) for ids in self._ids]

    def parameters(self) -> int:
        return sum(len(data) for _, _, data in self._bf16.values()) // 2

    def row(self, word: str) -> dict:
        """What one scheme costs."""
        import ct_reference
        import forward
        import numpy
        tensors = self._convert(word)
        distances = [forward.divergence(expected, found)
                     for expected, found in zip(self._expected, self._logits(self._values(word, tensors)), strict=True)]
        weights = [len(ids) for ids in self._ids]
        projections = {name.removesuffix(".weight"): len(data) // 2 for name, (_, _, data) in self._bf16.items()
                       if ct_reference.is_linear(name.removesuffix(".weight"))}
        stored = sum(len(data) for name, (_, _, data) in tensors.items() if name.rpartition(".")[0] in projections)
        return {"projection_bits": round(8 * stored / sum(projections.values()), 3),
                "bits": round(8 * sum(len(data) for _, _, data in tensors.values()) / self.parameters(), 3),
                "quantized": sum(name.endswith(".weight_scale") for name in tensors), "projections": len(projections),
                "kl_mean": float(f"{numpy.average([d['kl_mean'] for d in distances], weights=weights):.3g}"),
                "kl_max": float(f"{max(d['kl_max'] for d in distances):.3g}"),
                "top1": round(float(numpy.average([d["top1_agreement"] for d in distances], weights=weights)), 4)}

    def positions(self) -> int:
        return sum(map(len, self._ids))


def measure(program: pathlib.Path) -> dict:
    """Everything again: the record."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # why: tests/judge/forward.py
    sys.path.insert(0, str(ROOT / "tests/judge"))
    import ct_reference
    import gemma3_270m
    import smollm2
    data = ROOT / "build/test-data"
    ggufs = {"smollm2-135m": smollm2.gguf_of_wheel(data / "smollm2"), "gemma3-270m": gemma3_270m.gguf_of_wheels(data / "gemma3-270m")}
    models = []
    for key, gguf in ggufs.items():
        with tempfile.TemporaryDirectory(prefix="ckpt-quality-") as scratch:
            judge = Judge(key, gguf, program, pathlib.Path(scratch))
            schemes = {}
            for word in ct_reference.SCHEMES:
                schemes[word] = judge.row(word)
                print(f"quality: {NAMES[key]} {word}: {schemes[word]}", flush=True)
            models.append({"name": NAMES[key], "source": gguf.name, "parameters": judge.parameters(), "positions": judge.positions(),
                           "schemes": schemes})
    return {"schema_version": 1, "models": models}


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/ckpt")
    arguments = parser.parse_args()
    if arguments.check:
        return "docs/quality.md: the tables are not what docs/quality.json says: run tools/quality.py" if stale() else 0
    if arguments.write:
        RECORD.write_text(json.dumps(measure(arguments.program.absolute()), indent=1) + "\n")
    PAGE.write_text(page_with(PAGE.read_text(), json.loads(RECORD.read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

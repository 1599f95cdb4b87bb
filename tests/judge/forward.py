#!/usr/bin/env python3
"""Shows that a converted checkpoint is still the same model: an independent forward pass on the source and on each output.

Greedy continuation of a prompt, largest logit difference, KL divergence of the next-token distributions (source against
output, in nats, mean and largest over positions), agreement of the most likely token, and bits per stored weight.
Logits are compared over the prompt and the source's own continuation. numpy only; nothing is shared with ckpt.

Each output is held against the source twice: against its weights as stored, and ("rounded") against the same weights
rounded to bf16. The first difference holds what bf16 itself costs (a block-quantized source has finer values than
bf16 can carry: no converter avoids it); the second shows the conversion alone, and is zero for a right bf16 output.
"""

import argparse
import json
import os
import sys
import time

# The work is bound by memory: more threads gain little, and on a busy machine they wait for one another (measured with
# four times as many runnable threads as cores: 4 s of CPU instead of 16). Must precede numpy's first import.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402

import maxtext_model  # noqa: E402
from gguf_file import GgufFile  # noqa: E402
from llama import Llama, load_jetstream, load_source  # noqa: E402
from tokenizer import Tokenizer  # noqa: E402


def greedy(checkpoint, prompt_ids, count):
    """Token ids of the greedy continuation, and the logits of every position of prompt and continuation."""
    model = Llama(checkpoint)
    rows = [model.extend(prompt_ids)]
    ids = []
    while len(ids) < count:
        ids.append(int(rows[-1][-1].argmax()))
        rows.append(model.extend(ids[-1:]))
    return ids, np.concatenate(rows)


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def divergences(expected, found):
    """KL divergence, in nats, of logits [T, V] from the expected ones, by position."""
    p, q = log_softmax(expected), log_softmax(found)
    return np.maximum((np.exp(p) * (p - q)).sum(axis=-1), 0)


def divergence(expected, found):
    """How far logits [T, V] lie from the expected ones; not finite anywhere means not the same model."""
    kl = divergences(expected, found)
    return {
        "max_abs_logit_difference": float(np.abs(expected - found).max()),
        "kl_mean": float(kl.mean()),
        "kl_max": float(kl.max()),
        "top1_agreement": float((expected.argmax(-1) == found.argmax(-1)).mean()),
    }


def tokenizer_of(source):
    if os.path.isdir(source):
        return Tokenizer.of_json(os.path.join(source, "tokenizer.json"))
    return Tokenizer.of_gguf(GgufFile(source).keys)


class Expected:
    """What a source says to a prompt: its continuation, and logits at every position, as stored and rounded to bf16."""

    def __init__(self, source, rounded, ids, tokens):
        self.ids = ids
        self.continuation, self.logits = greedy(source, ids, tokens)
        self.rounded = Llama(rounded).extend(ids + self.continuation)

    def distance(self, checkpoint):
        """How far an output's logits lie from the source's, over the source's text."""
        found = Llama(checkpoint).extend(self.ids + self.continuation)
        return {**divergence(self.logits, found), "rounded": divergence(self.rounded, found)}


def load_output(path, config):
    """A JetStream-PyTorch output, or (.npz) leaves of a MaxText one that orbax_restore.py saved."""
    return maxtext_model.load_file(path, config) if str(path).endswith(".npz") else load_jetstream(path, config)


def compare(source, outputs, prompt=None, token_ids=None, tokens=12, wrong_rotary=False):
    """The whole proof as one dictionary; `prompt` needs the source's tokenizer, `token_ids` does without."""
    started = time.monotonic()
    tokenizer = tokenizer_of(source) if token_ids is None else None
    ids = tokenizer.encode(prompt) if tokenizer else list(token_ids)
    original = load_source(source)
    config = original.config
    expected = Expected(original, original.rounded_to_bf16(), ids, tokens)
    result = {
        "schema_version": 1, "prompt": prompt, "prompt_ids": ids, "positions": len(expected.logits),
        "source": _row(source, original, tokenizer, expected.continuation), "outputs": [],
    }
    del original  # float32 weights of one model at a time
    for path in outputs:
        checkpoint = load_output(path, config)
        if wrong_rotary:
            checkpoint = checkpoint.with_wrong_rotary()
        own, _ = greedy(checkpoint, ids, tokens)
        result["outputs"].append({**_row(path, checkpoint, tokenizer, own), **expected.distance(checkpoint)})
    result["seconds"] = round(time.monotonic() - started, 3)
    return result


def _row(path, checkpoint, tokenizer, ids):
    return {
        "path": os.fspath(path), "format": checkpoint.format, "bits_per_weight": round(checkpoint.bits_per_weight, 3),
        "continuation_ids": ids, "continuation": tokenizer.decode(ids) if tokenizer else None,
    }


def show(result):
    """The proof for people: one line each, source first."""
    print(f"prompt: {result['prompt'] or result['prompt_ids']}   ({result['positions']} positions compared)")
    print(f"  {'bits/weight':>11} {'max |dlogit|':>12} {'KL mean':>8} {'KL max':>8} {'KL max*':>8} {'top-1':>6}  continuation")
    for row in [result["source"], *result["outputs"]]:
        figures = " " * 46
        if "rounded" in row:
            figures = (f"{row['max_abs_logit_difference']:12.4f} {row['kl_mean']:8.1e} {row['kl_max']:8.1e} "
                       f"{row['rounded']['kl_max']:8.1e} {100 * row['top1_agreement']:5.1f}%")
        text = row["continuation_ids"] if row["continuation"] is None else repr(row["continuation"])
        print(f"  {row['bits_per_weight']:11.2f} {figures}  {text}   {row['format']}: {row['path']}")
    print("  * against the source's weights rounded to bf16: what is left is the conversion's own doing")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("compare", help="run source and outputs, and show how far they differ")
    verb.add_argument("--source", required=True, help="a GGUF file or a Hugging Face folder")
    verb.add_argument("--output", required=True, action="extend", nargs="+", default=[], help="folders that ckpt wrote")
    prompt = verb.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", help="text to continue")
    prompt.add_argument("--token-ids", help="comma-separated ids, where the tokenizer is not of a kind known here")
    verb.add_argument("--tokens", type=int, default=12, help="length of the continuation (default 12)")
    verb.add_argument("--json", metavar="FILE", help="write the result there, too")
    verb.add_argument("--kl-bound", type=float,
                      help="exit 1 when an output's largest KL against the source rounded to bf16 exceeds this")
    verb.add_argument("--wrong-rotary", action="store_true",
                      help="read the outputs with the other rotary order, on purpose: the bound must then fail")
    arguments = parser.parse_args(argv)
    ids = [int(part) for part in arguments.token_ids.split(",")] if arguments.token_ids else None
    result = compare(arguments.source, arguments.output, arguments.prompt, ids, arguments.tokens,
                     arguments.wrong_rotary)
    show(result)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    worst = max(row["rounded"]["kl_max"] for row in result["outputs"])
    if arguments.kl_bound is not None and not worst <= arguments.kl_bound:
        print(f"KL {worst:.3g} exceeds the bound {arguments.kl_bound:.3g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

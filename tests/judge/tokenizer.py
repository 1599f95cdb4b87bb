"""Byte-level BPE, encoder and decoder, from the tokens and merges of a GGUF file or of a tokenizer.json.

Enough for the proof's prompts: GPT-2's splitting, with every digit on its own (SmolLM2's "smollm"). Python's `re` has no
Unicode classes, so letters are word characters that are neither digit nor underscore. Special tokens inside the
prompt's text are not looked for.
"""

import json
import re

DIGIT = re.compile(r"(\d)")
WORDS = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
GGUF_SPLITTERS = ("smollm", "gpt-2", "default")


def _byte_letters():
    """GPT-2's reversible table: a printable letter for each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    letters = {byte: chr(byte) for byte in printable}
    letters.update({byte: chr(256 + n) for n, byte in enumerate(others)})
    return letters


class Tokenizer:
    """tokens: by id; merges: pairs, most wanted first; single_digits: split digits before words."""

    def __init__(self, tokens, merges, single_digits, first=()):
        self._tokens = tokens
        self._ids = {token: number for number, token in enumerate(tokens)}
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._single_digits = single_digits
        self._first = list(first)
        self._letters = _byte_letters()
        self._bytes = {letter: byte for byte, letter in self._letters.items()}

    @staticmethod
    def of_gguf(keys):
        """From a GGUF's keys; raises ValueError for another kind of tokenizer."""
        kind, splitter = keys.get("tokenizer.ggml.model"), keys.get("tokenizer.ggml.pre", "default")
        if kind != "gpt2" or splitter not in GGUF_SPLITTERS:
            raise ValueError(f"tokenizer {kind}/{splitter} is not known here: give --token-ids")
        merges = [tuple(merge.split(" ")) for merge in keys["tokenizer.ggml.merges"]]
        first = [keys["tokenizer.ggml.bos_token_id"]] if keys.get("tokenizer.ggml.add_bos_token") else []
        return Tokenizer(keys["tokenizer.ggml.tokens"], merges, splitter == "smollm", first)

    @staticmethod
    def of_json(path):
        """From a tokenizer.json of the byte-level BPE kind; raises ValueError for another."""
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        before = data.get("pre_tokenizer") or {}
        steps = before.get("pretokenizers", [before])
        kinds = {step.get("type") for step in steps}
        if data["model"].get("type") != "BPE" or "ByteLevel" not in kinds or not kinds <= {"ByteLevel", "Digits"}:
            raise ValueError(f"{path}: {data['model'].get('type')} after {sorted(map(str, kinds))}: give --token-ids")
        tokens = [""] * (1 + max(data["model"]["vocab"].values()))
        for token, number in data["model"]["vocab"].items():
            tokens[number] = token
        merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in data["model"]["merges"]]
        return Tokenizer(tokens, merges, "Digits" in kinds)

    def encode(self, text):
        """Token ids of a text."""
        pieces = DIGIT.split(text) if self._single_digits else [text]
        ids = list(self._first)
        for piece in pieces:
            for word in WORDS.findall(piece):
                ids += [self._ids[token] for token in self._merge(word)]
        return ids

    def decode(self, ids):
        """The text of token ids; bytes that are no UTF-8 (half a character) show as U+FFFD."""
        letters = "".join(self._tokens[number] for number in ids)
        data = b"".join(bytes([self._bytes[c]]) if c in self._bytes else c.encode() for c in letters)
        return data.decode("utf-8", "replace")

    def _merge(self, word):
        parts = [self._letters[byte] for byte in word.encode("utf-8")]
        while len(parts) > 1:
            pairs = [(self._ranks.get(pair, len(self._ranks)), at) for at, pair in enumerate(zip(parts, parts[1:]))]
            rank, at = min(pairs)
            if rank == len(self._ranks):
                break
            parts[at : at + 2] = ["".join(parts[at : at + 2])]
        return parts

"""The ways back: Hugging Face to MaxText and again to Hugging Face. What only moves comes back bit for bit; what MaxText's format
computes (queries, norms, embeddings) comes back as maxtext.md's formulas say, and what it loses is told, role by role, with a share.

The formulas here are written out in numpy, one for each kind of role, beside and apart from models/*.toml.
"""

import json
import re
from dataclasses import dataclass, field

import numpy as np
import pytest

import bfloat16
import forward
import gemma_forward
import hf_checkpoint
import hf_sources
import kaggle_golden
import llama
import mixtral_forward
import support
import test_gemma
import test_gemma23
import test_gemma_forward
import test_mixtral_forward
from bfloat16 import round_float32
from gemma_reference import Sizes
from hf_checkpoint import convert, different, read

OUTPUTS = ("scanned", "unscanned")
TYPES = ("bfloat16", "float32")


def f32(value):
    return np.float32(value)


@dataclass(frozen=True)
class Ways:
    """What each kind of role has been through and back, by type: float32 arrays that hold bf16 numbers, in and out."""

    query: dict = field(default_factory=dict)
    norm: dict = field(default_factory=dict)
    embedding: dict = field(default_factory=dict)


def exact_root(divisor):
    """q * float32(1 / sqrt(d)), rounded; back by float32(sqrt(d))."""
    scale, back = f32(1 / np.sqrt(divisor)), f32(np.sqrt(divisor))
    return {"bfloat16": lambda x: round_float32(round_float32(x * scale) * back), "float32": lambda x: round_float32(x * scale * back)}


def rounded_root(width):
    """Gemma 1: the factor itself is bf16. In float32 it is not."""
    scale = round_float32([1 / np.sqrt(width)])[0]
    return {**exact_root(width), "bfloat16": lambda x: round_float32(round_float32(x * scale) / scale)}


def plus_one():
    one = f32(1)
    return {"bfloat16": lambda x: round_float32(round_float32(x + one) - one), "float32": lambda x: round_float32((x + one) - one)}


def scaled(dim):
    rounded, exact = round_float32([np.sqrt(dim)])[0], f32(np.sqrt(dim))
    return {"bfloat16": lambda x: round_float32(round_float32(x * rounded) / rounded), "float32": lambda x: round_float32(x * exact / exact)}


@dataclass(frozen=True)
class Case:
    """A model, what writes it, and the arithmetic of its MaxText form; `roles`: names of the family's table, by kind."""

    write: object
    ways: Ways
    roles: dict
    flags: tuple = ()  # of the conversion to MaxText


def llama_case(head_dim, *flags, **dims):
    sizes = {"heads": 2, "kv_heads": 1, "layers": 2, "dim": 192, "mlp": 224, "vocab": 160, **dims}
    return Case(lambda folder: hf_sources.write_llama(folder, head_dim=head_dim, **sizes), Ways(query=exact_root(head_dim)),
                {"query": ["layer.*.attention.q"]}, flags)


def golden_case(name, head_dim, *flags):
    return Case(hf_sources.SOURCES[name], Ways(query=exact_root(head_dim)), {"query": ["layer.*.attention.q"]}, flags)


GEMMA1_NORMS = ["layer.*.attention_norm", "layer.*.feed_forward_norm", "norm"]
GEMMA2_NORMS = ["layer.*.attention_norm", "layer.*.feed_forward_norm", "layer.*.post_attention_norm", "layer.*.post_feed_forward_norm",
                "norm"]
GEMMA3_NORMS = [*GEMMA2_NORMS, "layer.*.attention.k_norm", "layer.*.attention.q_norm"]


def gemma1_roles(norms=tuple(GEMMA1_NORMS)):
    return {"query": ["layer.*.attention.q"], "norm": list(norms), "embedding": ["token_embedding"]}


def gemma2_case(sizes):
    return Case(lambda folder: test_gemma23.write_hf(folder, sizes),
                Ways(exact_root(sizes.scalar), plus_one(), scaled(sizes.dim)), gemma1_roles(GEMMA2_NORMS))


def write_gemma_golden(folder):
    source = support.GOLDEN / "maxtext/gemma-2b/kaggle"
    folder.mkdir()
    kaggle_golden.write_config(folder / "config.json", source)
    support.write_tensors(folder / "model.safetensors", kaggle_golden.tensors(source))


def write_mixtral(folder):
    test_mixtral_forward.write_hf(folder, test_mixtral_forward.make())
    of = test_mixtral_forward
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": of.DIM, "intermediate_size": of.MLP,
        "num_local_experts": of.EXPERTS, "num_experts_per_tok": 2, "num_attention_heads": of.HEADS,
        "num_key_value_heads": of.KV_HEADS, "num_hidden_layers": of.LAYERS, "vocab_size": of.VOCAB, "head_dim": of.WIDTH}))


CASES = {
    **{f"llama-d{width}": llama_case(width) for width in (16, 64, 80, 96, 112, 128, 160)},
    "llama-d128-pairs": llama_case(128, "--rope-layout", "interleaved"),
    "llama2": golden_case("llama2", 16),
    "llama2-as-llama3.1": golden_case("llama2", 16, "--model", "llama3.1-8b"),  # pairs, which no configuration tells
    "llama3": golden_case("llama3", 128),
    "llama3.1": golden_case("llama3.1", 16),
    "llama3.1-as-llama3.3": golden_case("llama3.1", 16, "--model", "llama3.3-70b"),  # halves, against the configuration
    "mixtral": Case(write_mixtral, Ways(query=exact_root(16)), {"query": ["layer.*.attention.q"]}),
    "mixtral-d32": Case(hf_sources.write_mixtral, Ways(query=exact_root(32)), {"query": ["layer.*.attention.q"]}),
    "gemma": Case(hf_sources.write_gemma, Ways(rounded_root(64), plus_one(), scaled(128)), gemma1_roles()),
    "gemma-d32": Case(write_gemma_golden, Ways(rounded_root(32), plus_one(), scaled(64)), gemma1_roles()),
    "gemma2": gemma2_case(Sizes(2, layers=4)),
    "gemma2-27b": gemma2_case(Sizes(2, layers=4, scalar=144, dim=48)),
    "gemma3": Case(hf_sources.write_gemma3, Ways(norm=plus_one(), embedding=scaled(24)),
                   {"norm": GEMMA3_NORMS, "embedding": ["token_embedding"]}),
}


def kind_of(name, case):
    """"query", "norm", "embedding", or None for what only moves."""
    if "q_proj" in name and case.ways.query:
        return "query"
    if "norm" in name and case.ways.norm:
        return "norm"
    return "embedding" if "embed_tokens" in name and case.ways.embedding else None


@pytest.fixture(scope="module", params=CASES)
def model(request, tmp_path_factory):
    """(case, folder of the source, {type: folder of MaxText outputs})."""
    case, folder = CASES[request.param], tmp_path_factory.mktemp(request.param)
    case.write(folder / "in")
    for dtype in TYPES:
        support.convert_maxtext(folder / "in", folder / dtype, OUTPUTS, "--dtype", dtype, *case.flags)
    return case, folder / "in", {dtype: folder / dtype for dtype in TYPES}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("output", OUTPUTS)
def test_the_way_back_is_the_formulas(output, dtype, model, tmp_path):
    case, source, made = model
    convert(support.items(made[dtype], output), tmp_path / "back", "--max-shard-size", "100KB")
    hf_checkpoint.assert_well_made(tmp_path / "back", 100_000)
    assert (tmp_path / "back/config.json").read_bytes() == (source / "config.json").read_bytes()
    before, after = read(source), read(tmp_path / "back")
    expected, changed = {}, dict.fromkeys(case.roles, 0)
    for name, (kept, shape, data) in before.items():
        kind = kind_of(name, case)
        if kind:
            bits = np.frombuffer(data, np.uint16)
            again = bfloat16.from_float32(getattr(case.ways, kind)[dtype](bfloat16.to_float32(bits)))
            changed[kind] += int(np.count_nonzero(again != bits))
            data = again.tobytes()
        expected[name] = (kept, shape, data)
    assert different(after, expected) == []
    if dtype == "float32":  # queries and embeddings come back whole; norms but for what 1 + x cannot hold
        assert changed.get("query", 0) == changed.get("embedding", 0) == 0
        assert changed.get("norm", 0) <= 2
    else:
        ways = {kind: getattr(case.ways, kind)["bfloat16"] for kind in changed}
        assert {kind for kind, count in changed.items() if count} == {kind for kind, way in ways.items() if not is_exact(way)}


# --- what is told of it

TOLD = re.compile(r"(.+): the source's arithmetic does not come back bit for bit: ([\d.]+) % of bf16 values between 2\^-7 and 4 change, "
                  r"by (\S+) at most \(convert to MaxText with --dtype float32 to come back closer\)")
RANGE = bfloat16.to_float32(np.concatenate([np.arange(0x3C00, 0x4080) | sign for sign in (0, 0x8000)]))


def is_exact(way):
    return bool((way(RANGE) == RANGE).all())


def share_and_most(way):
    """As the program prints them: the share of the values in the range that change, in %, and the largest change."""
    change = np.abs(way(RANGE).astype(np.float64) - RANGE.astype(np.float64))
    return f"{100 * np.count_nonzero(change) / len(RANGE):.1f}", f"{change.max():.2g}"


def losses_told(folder):
    told = [TOLD.fullmatch(line) for line in support.report(folder)["warnings"] if "come back" in line]
    assert None not in told
    found = {}
    for line in told:
        for role in line[1].split(", "):
            assert role not in found
            found[role] = line[2], line[3]
    return found


@pytest.mark.parametrize("dtype", TYPES)
def test_losses_are_told_by_role_with_their_share(dtype, model, tmp_path):
    case, source, made = model
    ran = convert(support.items(made[dtype], "scanned"), tmp_path / "back")
    expected = {}
    for kind, roles in case.roles.items():
        way = getattr(case.ways, kind)[dtype]
        if not is_exact(way):
            expected |= dict.fromkeys(roles, share_and_most(way))
    assert losses_told(tmp_path / "back") == expected
    assert ran.stderr.count("does not come back bit for bit") == len(set(expected.values()))
    if dtype == "float32":
        assert expected == {}
        assert sum("are F32: rounded to BF16" in line for line in support.report(tmp_path / "back")["warnings"]) == 1
    convert(source, tmp_path / "plain")
    assert losses_told(tmp_path / "plain") == {}


def test_the_shares_of_the_document_are_these():
    """docs/formats/hf.md: 17.2 % of queries at a width of 128, none where the root is a power of two."""
    lines = (support.ROOT / "docs/formats/hf.md").read_text().splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.endswith(" % |")]
    ways = {"query": exact_root, "norms": lambda _: plus_one(), "embedding": scaled}
    role, found = "", []
    for first, _, width, share in table:
        role = first.partition(" ")[0] or role
        number = int(width.partition("= ")[2] or 0)
        found.append((role, number))
        assert share_and_most(ways[role](number)["bfloat16"])[0] + " %" == share, (role, number)
    assert len(found) >= 15 and ("query", 128) in found and ("norms", 0) in found


# --- float32 outputs, kept so

def test_a_float32_checkpoint_keeps_what_it_holds_with_preserve_dtype(tmp_path):
    """Queries are multiplied in float32 and not rounded; everything else is the source's number in 32 bits."""
    case = CASES["llama-d128"]
    case.write(tmp_path / "in")
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("unscanned",), "--dtype", "float32")
    convert(support.items(tmp_path / "maxtext", "unscanned"), tmp_path / "back", "--preserve-dtype")
    expected = {}
    for name, (_, shape, data) in read(tmp_path / "in").items():
        values = bfloat16.to_float32(np.frombuffer(data, np.uint16))
        if "q_proj" in name:
            values = values * f32(1 / np.sqrt(128)) * f32(np.sqrt(128))
        expected[name] = ("F32", shape, values.tobytes())
    assert different(read(tmp_path / "back"), expected) == []
    hf_checkpoint.assert_well_made(tmp_path / "back")


# --- where the configuration and the names come from

def test_a_report_of_another_output_is_not_asked(tmp_path):
    """A foreign checkpoint inside a folder that we wrote to: its configuration is not that of the run there."""
    hf_sources.SOURCES["llama2"](tmp_path / "in")
    support.convert_maxtext(tmp_path / "in", tmp_path / "ours", ("scanned",), "--rope-layout", "interleaved")
    support.convert_maxtext(tmp_path / "in", tmp_path / "other", ("scanned",))
    foreign = tmp_path / "ours/elsewhere/0/items"
    foreign.parent.mkdir(parents=True)
    support.items(tmp_path / "other", "scanned").rename(foreign)
    support.assert_refused(convert(foreign, tmp_path / "back", "--family", "llama", expect=64), 64, "--config FILE")
    convert(foreign, tmp_path / "back", "--family", "llama", "--config", tmp_path / "in/config.json")
    assert different(read(tmp_path / "back"), read(tmp_path / "in")) == []


def test_the_report_is_found_from_inside(tmp_path, monkeypatch):
    hf_sources.SOURCES["llama2"](tmp_path / "in")
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",), "--rope-layout", "interleaved")
    monkeypatch.chdir(support.items(tmp_path / "maxtext", "scanned").parent)
    convert("items", tmp_path / "back")
    assert different(read(tmp_path / "back"), read(tmp_path / "in")) == []


def test_the_users_configuration_goes_before_the_kept_one_but_the_layout_stays_known(tmp_path):
    hf_sources.SOURCES["llama2"](tmp_path / "in")
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",), "--rope-layout", "interleaved")
    config = json.loads((tmp_path / "in/config.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**config, "torch_dtype": "auto"}))
    convert(support.items(tmp_path / "maxtext", "scanned"), tmp_path / "back", "--config", tmp_path / "mine.json")
    assert (tmp_path / "back/config.json").read_bytes() == (tmp_path / "mine.json").read_bytes()
    assert different(read(tmp_path / "back"), read(tmp_path / "in")) == []


def test_a_foreign_checkpoint_is_read_by_the_name_of_its_model(tmp_path):
    """Without a report only --model tells that its pairs lie in halves although its frequencies are scaled."""
    hf_sources.SOURCES["llama3.1"](tmp_path / "in")
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("unscanned",), model="llama3.3-70b")
    source = support.items(tmp_path / "maxtext", "unscanned").rename(tmp_path / "items")
    config = ("--config", tmp_path / "in/config.json")
    convert(source, tmp_path / "named", *config, "--model", "llama3.3-70b")
    assert different(read(tmp_path / "named"), read(tmp_path / "in")) == []
    convert(source, tmp_path / "unnamed", *config)
    wrong = different(read(tmp_path / "unnamed"), read(tmp_path / "in"))
    assert wrong == sorted(f"model.layers.{layer}.self_attn.{kind}_proj.weight" for layer in range(3) for kind in "qk")
    support.assert_refused(convert(source, tmp_path / "out", *config, "--model", "llama9", expect=64), 64, "llama9")


def vocabulary(tmp_path, generation, rows, name):
    """A source with so many rows, and its MaxText output under a server's name."""
    test_gemma23.write_hf(tmp_path / "in", Sizes(generation, layers=2, vocab=rows, dim=4))
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",), model=name)
    return support.items(tmp_path / "maxtext", "scanned")


def test_rows_of_zeros_that_were_appended_go_again(tmp_path):
    convert(vocabulary(tmp_path, 2, 256000, "gemma2-2b"), tmp_path / "back")
    before, after = (read(tmp_path / place)["model.embed_tokens.weight"] for place in ("in", "back"))
    assert after == before  # times 2 and again: exact
    assert after[1] == (256000, 4)


def test_a_vocabulary_that_was_cut_does_not_come_back(tmp_path):
    ran = convert(vocabulary(tmp_path, 3, 262208, "gemma3-4b"), tmp_path / "back", expect=65)
    support.assert_refused(ran, 65, "embed_tokens", "another length", "convert from the Hugging Face")


# --- the same model still

TOKENS = [(7 * i * i + 3 * i + 1) % 47 for i in range(16)]


def llama_logits(folder):
    return llama.Llama(llama.load_hf(folder)).extend(TOKENS)


def gemma_logits(name, folder):
    weights = {tensor.removeprefix("model.").removesuffix(".weight"): bfloat16.to_float32(np.frombuffer(data, np.uint16)).reshape(shape)
               for tensor, (_, shape, data) in read(folder).items()}
    return gemma_forward.of_source(test_gemma_forward.CONFIGS[name], weights).logits(TOKENS)


def mixtral_logits(folder):
    tensors = {name: bfloat16.to_float32(np.frombuffer(data, np.uint16)).reshape(shape)
               for name, (_, shape, data) in read(folder).items()}
    return mixtral_forward.logits(mixtral_forward.of_hf(test_mixtral_forward.CONFIG, tensors), TOKENS)


def write_gemma_small(name):
    def write(folder):
        test_gemma_forward.write(name, "hf", folder)
    return write


def flags_of(name):
    return ("--rope-layout", "interleaved") if name == "llama-pairs" else ()


FORWARD = {  # (writer, logits of a folder, largest KL at a position in nats after bf16)
    "llama2": (hf_sources.SOURCES["llama2"], llama_logits, 0),
    "llama3.1": (hf_sources.SOURCES["llama3.1"], llama_logits, 0),
    "llama-pairs": (CASES["llama-d80"].write, llama_logits, 1e-3),
    "mixtral": (write_mixtral, mixtral_logits, 0),
    **{name: (write_gemma_small(name), lambda folder, name=name: gemma_logits(name, folder), 2e-3)
       for name in ("gemma", "gemma2", "gemma2-27b", "gemma3")},
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_every_position_agrees_with_the_source(name, dtype, tmp_path):
    write, logits, bound = FORWARD[name]
    write(tmp_path / "in")
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",), "--dtype", dtype, *flags_of(name))
    convert(support.items(tmp_path / "maxtext", "scanned"), tmp_path / "back", "--max-shard-size", "30KB")
    before, after = logits(tmp_path / "in"), logits(tmp_path / "back")
    distance = forward.divergence(before, after)
    print(f"{name} {dtype}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}")
    if dtype == "float32" or bound == 0:
        assert np.array_equal(before, after)
    else:
        assert 0 < distance["kl_max"] <= bound

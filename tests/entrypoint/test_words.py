"""Every spelling of every version means the same, in any order and among any junk; nothing that is written crashes."""

import json
import random
import re
from collections.abc import Callable

import pytest

import door
import support

# The twelve flags of the original: name, letters of all versions.
OLD = {"bucket_name": "b", "inference_server": "si", "model_path": "m", "model_name": "n", "huggingface": "h",
       "quantize_type": "t", "quantize_weights": "q", "version": "v", "input_directory": "i1", "output_directory": "o2",
       "meta_url": "u", "help": "x"}
NEW = ("explain", "dry_run", "overwrite", "outputs", "keep_base", "meta_url_file", "memory", "threads", "log_format",
       "termination_log", "dtype", "mesh", "orbax_layout", "quant_layout", "rope_layout", "source_format")
BOOLEANS = ("huggingface", "quantize_weights")
TRUE = ("true", "t", "yes", "y", "on", "1")
FALSE = ("false", "f", "no", "n", "off", "0")
DOCUMENTED = {0, 64, 65, 66, 69, 71, 73, 74, 75, 77, 78}  # 70 is our own bug, and a signal is no exit
GEMMA = ["-b=bkt", "-m=google/gemma/maxtext/7b-it/2"]
VERBS = ("convert", "plan", "inspect", "verify", "diff", "status", "clean", "families", "manifest")
MIXES = 1200
JUNK = 300


def candidates(prefix: str) -> list[str]:
    """The old names that a word may mean."""
    return [prefix] if prefix in OLD else [name for name in OLD if name.startswith(prefix)]


# --- random mixes

SETTINGS = [
    {"bucket_name": "demo-bucket", "model_path": "google/gemma/maxtext/7b-it/2"},
    {"bucket_name": "demo-bucket", "model_path": "google/gemma/maxtext/2b/3", "inference_server": "jetstream-maxtext",
     "quantize_weights": "True", "quantize_type": "intmp", "version": "jetstream-v0.2.2"},
    {"bucket_name": "demo-bucket", "model_path": "Llama3.1-405B-Instruct:bf16-mp16", "model_name": "llama-3.1",
     "meta_url": door.META_URL, "output_directory": "gs://demo-bucket/maxtext/llama-3.1-405b",
     "quantize_weights": "True", "quantize_type": "int8", "inference_server": "jetstream-maxtext"},
    {"bucket_name": "demo-bucket", "model_path": "meta-llama/Llama-3.3-70B-Instruct", "model_name": "llama-3.3",
     "huggingface": "True", "output_directory": "gs://demo-bucket/o/", "quantize_weights": "False",
     "quantize_type": "fp8"},
    {"bucket_name": "demo-bucket", "model_path": "Llama3.1-8B", "input_directory": "/mnt/in",
     "output_directory": "/mnt/out/"},
    {"inference_server": "jetstream-pytorch", "model_path": "/models", "input_directory": "gs://demo-bucket/in/x=y/",
     "output_directory": "gs://demo-bucket/out/", "version": "main"},
    {"inference_server": "jetstream-pytorch", "model_path": "meta-llama/Llama-2-7b", "model_name": "llama-2",
     "huggingface": "True", "output_directory": "gs://demo-bucket/out", "quantize_weights": "True"},
    {"inference_server": "jetstream-pytorch", "model_path": "google/gemma-7b-it-pytorch", "model_name": "gemma",
     "huggingface": "True", "output_directory": "./out", "quantize_weights": "True", "quantize_type": "int4_blockwise"},
]
LEFTOVERS = ("run", "now", "", "-", "plan", "convert", "{}", "a=b", "ключ", "x" * 300, "%s%n", "gs://other/place", "0")
OTHER = {"bucket_name": "other-bucket", "model_path": "google/gemma/maxtext/2b/1", "version": "v9",
         "quantize_type": "int4w",
         "inference_server": "jetstream-maxtext", "output_directory": "gs://other-bucket/o", "model_name": "llama-2"}


def dashed(name: str, dice: random.Random) -> str:
    return name.replace("_", "-") if dice.random() < 0.3 else name


def prefix_of(name: str, dice: random.Random) -> str:
    """The name, or the beginning of it that no other old name has."""
    return dice.choice([name[:end] for end in range(1, len(name) + 1) if candidates(name[:end]) == [name]])


def worded(name: str, value: str, dice: random.Random) -> str:
    """The value in one of its spellings."""
    if name in BOOLEANS:
        value = dice.choice(TRUE if value == "True" else FALSE)
        value = dice.choice([value, value.upper(), value.capitalize()])
    if dice.random() < 0.15:
        quote = dice.choice("\"'")
        value = quote + value + quote
    if dice.random() < 0.15:
        value = dice.choice(["", " ", "\t"]) + value + dice.choice([" ", "  ", "\n"])
    return value


def spelled(name: str, value: str, dice: random.Random) -> list[str]:
    """One flag with its value, in one of the spellings of any version."""
    value = worded(name, value, dice)
    letters = [letter for letter in OLD[name] if name != "inference_server" or letter == "s" or dice.random() < 0.5]
    letter, long = dice.choice(letters), dashed(name, dice)
    ways: list[Callable[[], list[str]]] = [
        lambda: [f"--{long}={value}"], lambda: [f"--{long}", value], lambda: [f"-{letter}={value}"],
        lambda: [f"-{letter}", value], lambda: [f"-{letter}{value}"],
        lambda: [f"--{dashed(prefix_of(name, dice), dice)}={value}"], lambda: [f"--{prefix_of(name, dice)}", value],
        lambda: [f"-{long}={value}"], lambda: [f"-{long}", value],
    ]
    return dice.choice(ways)()


def mixed(settings: dict[str, str], dice: random.Random) -> list[str]:
    """The settings in random spelling and order, with leftover words and repeats that change nothing."""
    names = list(settings)
    dice.shuffle(names)
    parts = [(name, spelled(name, settings[name], dice)) for name in names]
    for name in names:
        if dice.random() < 0.15:
            parts.append((name, spelled(name, settings[name], dice)))  # the same again
        if dice.random() < 0.1 and name in OTHER:
            parts.insert(0, (name, spelled(name, OTHER[name], dice)))  # the last one counts
    explaining = dice.choice([["--explain"], ["--explain=True"], ["--explain", "yes"]])
    parts.insert(dice.randrange(len(parts) + 1), ("", explaining))
    words = []
    for _, part in parts:
        words += part
        if dice.random() < 0.1:
            words.append(dice.choice(LEFTOVERS[2:] if not words else LEFTOVERS[:-1]))
    if dice.random() < 0.2:
        words += ["--", *dice.sample(LEFTOVERS, 2), "--bucket_name=ignored"]
    return words


def test_random_mixes_never_change_the_meaning():
    dice = random.Random(20241128)
    plain = [door.explain(*(f"--{name}={value}" for name, value in settings.items())) for settings in SETTINGS]
    numbers = [dice.randrange(len(SETTINGS)) for _ in range(MIXES)]
    lists = [mixed(SETTINGS[number], dice) for number in numbers]
    for number, words, said in zip(numbers, lists, door.many(lists), strict=True):
        assert said.exit_code == 0, f"{words}: {said}"
        told = json.loads(said.stdout)
        told.pop("warnings", None)
        assert told == {key: value for key, value in plain[number].items() if key != "warnings"}, words


def junk(dice: random.Random) -> list[str | bytes]:
    """Words as nobody would write them."""
    flags = [*(f"--{name}" for name in (*OLD, *NEW)), *(f"-{letter}" for letters in OLD.values() for letter in letters)]
    values = ["", "=", "==", "-", "--", "---", "''", '"', "$X", "${X}", "gs://", "gs:///", "://", "?", "/", "..",
              "a" * 5000, "jetstream-maxtext", "jetstream-pytorch", "True", "google/gemma/maxtext/7b-it/2",
              "Llama3.1-8B", "////", "-1", "18446744073709551616", "1e999", "\x7f", "\u202e", "llama-3.1", "gemma", "%",
              "https://x?y=z", "a/b/c/d/e/f"]
    words: list[str | bytes] = []
    for _ in range(dice.randrange(1, 9)):
        kind = dice.random()
        if kind < 0.4:
            words.append(dice.choice(flags) + dice.choice(["", "=", " "]) + dice.choice(values))
        elif kind < 0.6:
            words.append(dice.choice(flags))
        elif kind < 0.8:
            words.append(dice.choice(values))
        else:
            words.append(bytes(dice.randrange(1, 256) for _ in range(dice.randrange(1, 24))))
    first = words[0] if isinstance(words[0], str) else ""
    return words if first not in VERBS else ["-", *words]


def test_junk_is_refused_and_never_crashes(tmp_path):
    dice = random.Random(7)
    lists = [junk(dice) for _ in range(JUNK)]
    for words, said in zip(lists, door.many(lists, cwd=tmp_path), strict=True):
        assert said.exit_code in DOCUMENTED, f"{words}: {said}"
        assert said.exit_code == 0 or "ckpt: " in said.stderr or '"severity":"ERROR"' in said.stderr, f"{words}: {said}"


# --- prefixes

PROBES = {"bucket_name": ("B!", "--bucket_name"), "inference_server": ("vllm", "--inference_server vllm"),
          "model_path": ("$MODEL", "--model_path $MODEL"), "model_name": ("nobody", "--model_name nobody"),
          "huggingface": ("maybe", "--huggingface maybe"), "quantize_type": ("int9", "--quantize_type int9"),
          "quantize_weights": ("maybe", "--quantize_weights maybe"),
          "input_directory": ("here", "--input_directory here"),
          "output_directory": ("here", "--output_directory here"), "meta_url": ("here", "--meta_url holds no URL")}
PROBE_BASE = ["-b=bkt", "-m=Llama3.1-8B", "-n=llama-3.1", "-o=/out", "-q=1", "-t=int8", "-u=https://x.invalid/y"]


@pytest.mark.parametrize("name", OLD)
def test_prefixes_resolve_among_the_old_names_only(name: str):
    for end in range(1, len(name) + 1):
        prefix = name[:end]
        meant = candidates(prefix)
        if len(meant) > 1:
            said = door.run(*PROBE_BASE, f"--{prefix}=x")
            door.assert_refused(said, 64, f"--{prefix} is ambiguous", *(f"--{one}" for one in meant))
            assert not re.search("|".join(f"--{new}\\b" for new in NEW if new not in meant), said.stderr), said
        elif name == "help":
            assert door.run(*PROBE_BASE, f"--{prefix}", expect=0).stdout.startswith("Usage: ")
        elif name == "version":
            assert "Version=v7" in door.run(*PROBE_BASE, f"--{prefix}=v7", expect=78).lines()
        else:
            value, mention = PROBES[name]
            door.assert_refused(door.run(*PROBE_BASE, f"--{prefix}={value}"), 64, mention)


@pytest.mark.parametrize("name", NEW)
def test_a_new_flag_has_no_prefix_and_no_letter(name: str):
    for end in range(2, len(name)):
        prefix = name[:end]
        said = door.run(*GEMMA, f"--{prefix}=x")
        if len(candidates(prefix)) == 1:
            assert f"--{prefix} is unknown" not in said.stderr  # it means the old flag, as always
        else:
            door.assert_refused(said, 64, f"--{prefix} is " + ("ambiguous" if candidates(prefix) else "unknown"))


@pytest.mark.parametrize("word, names", [
    ("--model", ["--model_path", "--model_name"]), ("--q", ["--quantize_type", "--quantize_weights"]),
    ("--h", ["--huggingface", "--help"]), ("--i", ["--inference_server", "--input_directory"]),
    ("--m", ["--model_path", "--model_name", "--meta_url"])])
def test_an_ambiguous_word_lists_what_it_may_mean(word: str, names: list[str]):
    door.assert_refused(door.run(*GEMMA, f"{word}=x"), 64, *names)


# --- single rules of the contract

def test_booleans():
    words = ["--quantize_type=int8", *GEMMA]
    for word in TRUE:
        for spelling in {word, word.upper(), word.capitalize()}:
            assert door.explain(f"--quantize_weights={spelling}", *words)["quantize"] == "int8", spelling
    for word in (*FALSE, ""):
        for spelling in {word, word.upper(), word.capitalize()}:
            assert door.explain(f"--quantize_weights={spelling}", *words)["quantize"] is None, spelling
    for word in ("maybe", "ja", "2", "truee", "None", "null"):
        door.assert_refused(door.run(f"--quantize_weights={word}", *words), 64, "--quantize_weights", word)


def test_i_is_the_server_or_the_input_by_its_value():
    told = door.explain("-i=jetstream-pytorch", "-m=/models", "-1=gs://bkt/in", "-2=gs://bkt/out")
    assert told["server"] == "jetstream-pytorch"
    assert told["source"] == {"kind": "directory", "path": "gs://bkt/in", "mounted_at": "/models/in"}
    assert told["outputs"]["weights"] == "gs://bkt/out/model.safetensors"
    told = door.explain("-s=jetstream-pytorch", "-m=/models", "-i", "gs://bkt/in", "-o", "gs://bkt/out")
    assert told["source"]["path"] == "gs://bkt/in"
    door.assert_refused(door.run("-i=vllm", *GEMMA), 64, "vllm", "jetstream-maxtext", "jetstream-pytorch")


def test_i_with_a_server_is_noticed_in_the_log():
    said = door.run("-i=jetstream-maxtext", *GEMMA, expect=78)
    assert any("-i=jetstream-maxtext is read as --inference_server" in line for line in said.lines())


def test_posixly_correct_changes_nothing():
    words = ["run", "--bucket_name=bkt", "more", "--model_path=google/gemma/maxtext/7b-it/2"]
    assert door.explain(*words, env={"POSIXLY_CORRECT": "1"}) == door.explain(*words)


@pytest.mark.parametrize("words, value", [(["-b==x"], "=x"), (["--bucket_name==x"], "=x"), (["-b", "=x"], "=x"),
                                          (["-b=x=y="], "x=y="),
                                          (["--bucket_name=x=&*%"], "x=&*%")])
def test_an_equals_sign_is_taken_once(words: list[str], value: str):
    door.assert_refused(door.run(*words, GEMMA[1]), 64, f"{value} is no legal name of a bucket")


@pytest.mark.parametrize("words", [["-h", *GEMMA], [*GEMMA, "-h"], [*GEMMA, "-h", "--explain"]])
def test_h_without_a_value_hints_at_help(words: list[str]):
    door.assert_refused(door.run(*words), 64, "-h needs a value", "-x or --help prints help")


@pytest.mark.parametrize("words", [["-x"], ["--help"], ["--he"], ["-xb", "bkt"], ["-xb=bkt"], ["-b", "bkt", "-x"],
                                   ["-s=vllm", "-x"],
                                   ["--help", "-q=maybe"], ["-m=$MODEL", "-x", "left", "over"]])
def test_help_wins_over_a_bad_value(words: list[str]):
    usage = door.run(*words, expect=0)
    assert usage.stderr == ""
    assert usage.stdout.startswith("Usage: checkpoint_entrypoint.sh ")
    for name, letters in OLD.items():
        assert f"-{letters[0]}, --{name} " in usage.stdout
    for name in NEW:
        assert f"--{name} " in usage.stdout


@pytest.mark.parametrize("words", [["--help", "--frobnicate=1"], ["-x", "-z"], ["--frobnicate", "1", "-x"],
                                   ["-x", "--model=x"], ["-x", "-b"]])
def test_help_does_not_win_over_a_bad_flag(words: list[str]):
    door.assert_refused(door.run(*words), 64)


def test_an_unknown_flag_names_its_neighbour():
    door.assert_refused(door.run(*GEMMA, "--quantise_type=int8"), 64, "--quantise_type is unknown",
                        "did you mean --quantize_type?")
    door.assert_refused(door.run(*GEMMA, "-z", "1"), 64, "-z is unknown")


def test_all_faults_are_told_at_once():
    said = door.run("-s=jetstream-maxtext", "--frobnicate=1", "-b=BUCKET_NAME", "-m=meta-llama/Llama-3.1-8B",
                    "-h=True", "-q=maybe",
                    "-o=here", "--threads=none", "--outputs=all", "-t=int9", "--log_format=xml", "--memory=lots")
    door.assert_refused(said, 64, "--frobnicate", "BUCKET_NAME", "--quantize_weights maybe", "--output_directory here",
                        "--threads none",
                        "--outputs all", "--log_format xml", "lots", "arguments are wrong")


def test_a_lone_fault_is_told_alone():
    door.assert_refused(door.run("-b=bkt"), 64, "MODEL_PATH is empty, please provide the model path")


# --- who is spoken to

NAMES = (door.NAME, "checkpoint_converter.sh", "ckpt")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["", "/usr/bin/"])
def test_a_verb_is_the_verb_under_every_name(name: str, folder: str):
    for verb in VERBS:
        assert "Usage: checkpoint" not in door.run(verb, "--help", name=folder + name, expect=0).stdout
    assert "llama" in door.run("families", name=folder + name, expect=0).stdout


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["", "/usr/bin/"])
def test_a_first_dash_is_the_contract(name: str, folder: str):
    for words in ([*GEMMA], ["--bucket-name=bkt", GEMMA[1]], ["-h=False", *GEMMA]):
        assert json.loads(door.run(*words, "--explain", name=folder + name, expect=0).stdout)["model"] == "gemma-7b"
    assert door.run("-x", name=folder + name, expect=0).stdout.startswith(f"Usage: {name} ")
    assert door.run("--help", "-b=bkt", name=folder + name, expect=0).stdout.startswith(f"Usage: {name} ")
    door.assert_refused(door.run("--version=main", name=folder + name), 64, "--model_path is missing")


def test_a_lone_help_or_version_under_our_name_is_ours():
    for word in ("--help", "-h"):
        assert "turns published LLM weights" in door.run(word, name="ckpt", expect=0).stdout
    assert re.fullmatch(r"ckpt \d+\.\d+\.\d+\S*\n", door.run("--version", name="ckpt", expect=0).stdout)
    for name in NAMES[:2]:
        assert door.run("--help", name=name, expect=0).stdout.startswith(f"Usage: {name} ")
        door.assert_refused(door.run("-h", name=name), 64, "-x or --help prints help")
        door.assert_refused(door.run("--version", name=name), 64, "--version needs a value")


def test_no_words_at_all():
    for name in NAMES[:2]:
        door.assert_refused(door.run(name=name), 64, "--model_path", "--bucket_name")
    assert door.run(name="ckpt").exit_code == 64


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_leftover_first_word_is_no_verb(name: str):
    assert door.run("now", *GEMMA, "--explain", name=name, expect=0)
    assert door.run("now", *GEMMA, name="ckpt").exit_code == 64


def test_the_build_leaves_both_old_names_beside_the_program():
    if support.PROGRAM.parent == support.ROOT / "build":  # as ./dev build leaves it; CKPT may name another
        for name in NAMES:
            assert (support.PROGRAM.parent / name).resolve() == support.PROGRAM.resolve()

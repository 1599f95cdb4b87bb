"""The argument lists of published Jobs, and of the original's README, mean what they meant; the rest is refused."""

import json
from pathlib import Path

import pytest

import door

MANIFESTS = json.loads((door.GOLDEN / "entrypoint/manifests.json").read_text(encoding="utf-8"))["manifests"]
WANTED = [entry for entry in MANIFESTS if "error" not in entry["expect"]]
REFUSED = [entry for entry in MANIFESTS if "error" in entry["expect"]]
WITH_PLACEHOLDERS = [entry for entry in MANIFESTS if entry["substitute"]]


def name_of(entry: dict) -> str:
    return entry["id"]


def test_the_data_is_whole():
    assert (len(MANIFESTS), len(WANTED), len(REFUSED), len(WITH_PLACEHOLDERS)) == (37, 29, 8, 17)


@pytest.mark.parametrize("entry", WANTED, ids=name_of)
def test_a_list_means_what_it_must(entry: dict):
    told = door.explain(*entry["args_resolved"])
    assert {key: told.get(key, "(absent)") for key in entry["expect"]} == entry["expect"]
    assert set(told) - set(entry["expect"]) <= {"warnings", "source_otherwise"}
    assert "warnings" in told or "warning" not in entry.get("notes", "")


@pytest.mark.parametrize("entry", REFUSED, ids=name_of)
@pytest.mark.parametrize("flags", [[], ["--explain"], ["--dry_run"]], ids=["run", "explain", "dry-run"])
def test_a_list_is_refused_with_its_words(entry: dict, flags: list[str], tmp_path: Path):
    said = door.run(*flags, *entry["args_resolved"], root=tmp_path / "gs")
    error = entry["expect"]["error"]
    door.assert_refused(said, error["exit_code"], *error["mentions"])
    if "--explain" in flags:
        assert json.loads(said.stdout)["error"]["exit_code"] == error["exit_code"]


@pytest.mark.parametrize("entry", WITH_PLACEHOLDERS, ids=name_of)
def test_a_placeholder_that_was_not_replaced_is_refused(entry: dict, tmp_path: Path):
    said = door.run("--explain", *entry["args"], root=tmp_path / "gs")
    door.assert_refused(said, 64, "placeholder")


def test_explaining_touches_nothing(tmp_path: Path):
    """No store, no secret, no file: none of the places that the arguments and variables name exists."""
    nowhere = tmp_path / "nowhere"
    here = tmp_path / "here"
    here.mkdir()
    variables = {"CKPT_GS_ROOT": nowhere / "gs", "KAGGLE_CONFIG_DIR": nowhere / "kaggle", "TMPDIR": nowhere,
                 "HUGGINGFACE_TOKEN_DIR": nowhere / "huggingface", "HOME": nowhere}
    for entry in MANIFESTS:
        door.run("--explain", *entry["args_resolved"], "--meta_url_file", nowhere / "url", env=variables, cwd=here)
    assert list(tmp_path.rglob("*")) == [here]


def test_explaining_needs_no_file_of_the_source(tmp_path: Path, root: Path):
    """A source that cannot even be listed is explained all the same."""
    source = tmp_path / "closed"
    source.mkdir(mode=0)
    told = door.explain("-s=jetstream-pytorch", f"-m={source}", f"-i={source}", "-o=gs://bkt/o", root=root)
    assert told["source"] == {"kind": "directory", "path": str(source)}
    assert list(root.rglob("*")) == [root / "bkt"]

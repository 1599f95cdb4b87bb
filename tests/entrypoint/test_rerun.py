"""A second run is safe: the same settings end at once, other ones are refused, nothing at the output is lost."""

import shutil
from pathlib import Path

import pytest

import door
import support
from test_conversions import broken

KIND_OF = {"jetstream-maxtext": ("int8", "int4w"), "jetstream-pytorch": ("int8_blockwise", "int4_blockwise")}
SERVERS = tuple(KIND_OF)


def words(server: str, sources: door.Sources, kind: str, *more: str) -> list[str]:
    source = sources.llama31 if server == "jetstream-maxtext" else sources.hugging_face
    return [f"-s={server}", "-b=bkt", "-m=Llama3.1-8B", f"-i={source}", "-o=gs://bkt/o/", "-n=llama-3.1", "-q=True",
            f"-t={kind}", *more]


@pytest.mark.parametrize("server", SERVERS)
def test_the_same_settings_again_change_nothing(server: str, sources: door.Sources, root: Path, tmp_path: Path):
    first = door.run(*words(server, sources, KIND_OF[server][0]), root=root, expect=0)
    before = door.state(root)
    log = tmp_path / "termination"
    # Another spelling, a repeated flag, the version and what only says how fast are no other settings.
    again = door.run(*words(server, sources, KIND_OF[server][0], "--version=main", "--quantize-w=1", "--threads=1",
                            f"--termination_log={log}"),
                     root=root, expect=0)
    assert door.state(root) == before
    assert again.finals() == first.finals()
    assert [line for line in again.lines() if line.startswith("Load with: ")] == \
        [line for line in first.lines() if line.startswith("Load with: ")]
    assert any("there already" in line for line in again.lines())
    assert "there already" in log.read_text()


@pytest.mark.parametrize("server", SERVERS)
def test_another_type_into_the_same_folder_is_refused(server: str, sources: door.Sources, root: Path):
    door.run(*words(server, sources, KIND_OF[server][0]), root=root, expect=0)
    before = door.state(root)
    said = door.run(*words(server, sources, KIND_OF[server][1]), root=root)
    door.assert_refused(said, 73, "--overwrite", "finished checkpoint")
    assert door.state(root) == before


@pytest.mark.parametrize("server", SERVERS)
def test_another_source_into_the_same_folder_is_refused(server: str, sources: door.Sources, root: Path, tmp_path: Path):
    door.run(*words(server, sources, KIND_OF[server][0]), root=root, expect=0)
    before = door.state(root)
    support.small(tmp_path / "other", layers=1)
    said = door.run(*words(server, sources, KIND_OF[server][0], f"--input_directory={tmp_path / 'other'}"), root=root)
    door.assert_refused(said, 73, "--overwrite")
    assert door.state(root) == before


@pytest.mark.parametrize("server", SERVERS)
def test_overwriting_replaces(server: str, sources: door.Sources, root: Path, tmp_path: Path):
    fresh = tmp_path / "fresh"
    (fresh / "bkt").mkdir(parents=True)
    old, new = KIND_OF[server]
    door.run(*words(server, sources, old), root=root, expect=0)
    said = door.run(*words(server, sources, new, "--overwrite=True"), root=root, expect=0)
    door.run(*words(server, sources, new), root=fresh, expect=0)
    ours, expected = support.outputs_of(root / "bkt/o"), support.outputs_of(fresh / "bkt/o")
    assert {name: digest for name, digest in ours.items() if name in expected} == expected
    assert not any("there already" in line for line in said.lines())


GOLDENS = {
    "maxtext/llama2/bf16/scanned": ("jetstream-maxtext", "bf16/scanned/0/items"),
    "maxtext/llama2/bf16/unscanned": ("jetstream-maxtext", "bf16/unscanned/checkpoints/0/items"),
    "maxtext/llama2/int8": ("jetstream-maxtext", "int8"),
    "jetstream-pytorch/llama-3-hf/int8_blockwise": ("jetstream-pytorch", ""),
}


@pytest.mark.parametrize("golden", GOLDENS)
@pytest.mark.parametrize("flags", [[], ["--dry_run"]], ids=["run", "dry-run"])
def test_an_original_at_the_output_survives_byte_for_byte(golden: str, flags: list[str], sources: door.Sources,
                                                          root: Path):
    server, place = GOLDENS[golden]
    shutil.copytree(door.GOLDEN / golden, root / "bkt/o" / place)
    before = door.state(root)
    assert before
    said = door.run(*words(server, sources, KIND_OF[server][0], *flags), root=root)
    door.assert_refused(said, 73, "--overwrite")
    assert door.state(root) == before


@pytest.mark.parametrize("golden", GOLDENS)
def test_an_original_at_the_output_is_replaced_on_demand(golden: str, sources: door.Sources, root: Path):
    server, place = GOLDENS[golden]
    shutil.copytree(door.GOLDEN / golden, root / "bkt/o" / place)
    said = door.run(*words(server, sources, KIND_OF[server][0], "--overwrite=True"), root=root, expect=0)
    assert said.finals()
    door.run(*words(server, sources, KIND_OF[server][0]), root=root, expect=0)
    assert door.run("verify", root / "bkt/o", expect=0)


def test_foreign_files_are_named_and_kept(sources: door.Sources, root: Path):
    (root / "bkt/o").mkdir()
    (root / "bkt/o/notes.txt").write_text("precious\n")
    said = door.run(*words("jetstream-pytorch", sources, "int8_blockwise"), root=root)
    door.assert_refused(said, 73, "notes.txt", "--overwrite")
    assert support.contents(root) == {"bkt/o/notes.txt": support.fingerprint(root / "bkt/o/notes.txt")}


def test_a_run_that_fails_in_the_middle_says_why_beside_the_output(tmp_path: Path, root: Path):
    """Quantizing finds a weight that is no number; the next good run into the same folder works."""
    broken(tmp_path / "in")
    words = ["-s=jetstream-pytorch", "-m=/models", "-o=gs://bkt/o", "-n=llama-3", "-q=True", "-t=int8_per_channel"]
    said = door.run(*words, f"-i={tmp_path / 'in'}", root=root)
    door.assert_refused(said, 65, "model.layers.1.mlp.gate_proj.weight")
    assert set(support.contents(root / "bkt/o")) <= {".ckpt-state/report.json", ".ckpt-state/state.json"}
    told = support.report(root / "bkt/o")
    assert (told["result"], told["exit_code"]) == ("failed", 65)
    assert told["error"]["what"] in said.stderr
    assert told["error"]["remedy"] in said.stderr
    again = door.run(*words, f"-i={tmp_path / 'in'}", root=root)
    door.assert_refused(again, 65)
    support.small(tmp_path / "good", adversarial=False)
    done = door.run(*words, f"-i={tmp_path / 'good'}", root=root, expect=0)
    assert len(done.finals()) == 1
    assert "result" not in support.report(root / "bkt/o") or support.report(root / "bkt/o")["result"] != "failed"


@pytest.mark.parametrize("server", SERVERS)
def test_a_truncated_shard_ends_the_run_before_anything_is_written(server: str, sources: door.Sources, root: Path,
                                                                   tmp_path: Path):
    source = sources.llama31 if server == "jetstream-maxtext" else sources.hugging_face
    shutil.copytree(source, tmp_path / "in")
    shard = sorted((tmp_path / "in").glob("*.safetensors"))[-1]
    shard.write_bytes(shard.read_bytes()[:-1])
    said = door.run(*words(server, sources, KIND_OF[server][0], f"--input_directory={tmp_path / 'in'}"), root=root)
    door.assert_refused(said, 65, shard.name)
    assert door.made_nothing(root)
    door.run(*words(server, sources, KIND_OF[server][0]), root=root, expect=0)


def test_a_missing_shard_is_named_before_anything_is_written(sources: door.Sources, root: Path, tmp_path: Path):
    shutil.copytree(sources.hugging_face, tmp_path / "in")
    (tmp_path / "in/model-00002-of-00002.safetensors").unlink()
    said = door.run(*words("jetstream-pytorch", sources, "int8_blockwise", f"--input_directory={tmp_path / 'in'}"),
                    root=root)
    door.assert_refused(said, 65, "model-00002-of-00002.safetensors")
    assert door.made_nothing(root)


@pytest.mark.parametrize("is_there", [False, True], ids=["no-folder", "empty-folder"])
def test_a_source_that_is_not_there_is_refused(is_there: bool, sources: door.Sources, root: Path, tmp_path: Path):
    if is_there:
        (tmp_path / "in").mkdir()
    said = door.run(*words("jetstream-pytorch", sources, "int8_blockwise", f"--input_directory={tmp_path / 'in'}"),
                    root=root)
    door.assert_refused(said, 66, str(tmp_path / "in"))
    assert door.made_nothing(root)


@pytest.mark.parametrize("flags", [[], ["--dry_run"], ["--overwrite=True"]], ids=["run", "dry-run", "overwrite"])
@pytest.mark.parametrize("server", SERVERS)
def test_a_missing_bucket_is_never_made(server: str, flags: list[str], sources: door.Sources, root: Path):
    said = door.run(*words(server, sources, KIND_OF[server][0], *flags, "--output_directory=gs://other/o"), root=root)
    door.assert_refused(said, 73, "gs://other", f"mkdir -p {root}/other")
    assert list(root.rglob("*")) == [root / "bkt"]


def test_a_real_bucket_that_is_not_there_says_how_to_make_it(sources: door.Sources):
    said = door.run(*words("jetstream-pytorch", sources, "int8_blockwise"), "--output_directory=gs://other/o")
    door.assert_refused(said, 73, "gs://other", "gcloud storage buckets create gs://other")


def test_an_output_below_a_file_is_refused(sources: door.Sources, root: Path):
    (root / "bkt/o").write_text("a file\n")
    said = door.run(*words("jetstream-pytorch", sources, "int8_blockwise"), root=root)
    door.assert_refused(said, 73)
    assert (root / "bkt/o").read_text() == "a file\n"


def test_an_unfinished_run_is_finished_by_the_next(sources: door.Sources, root: Path, tmp_path: Path):
    """What a killed run left is ours: no --overwrite is needed, and nothing of it stays."""
    support.small(tmp_path / "in", layers=4, dim=1024, mlp=4096, vocab=4096)
    arguments = ["-s=jetstream-pytorch", "-m=/models", f"-i={tmp_path / 'in'}", "-o=gs://bkt/o", "--threads=1",
                 "--bundle_size=1MiB",
                 "--io=buffered", "--memory=128MiB"]
    with door.started(*arguments, root=root) as process:
        door.wait_for(lambda: door.has_bytes(root), "the first weights", process)
        process.kill()
        process.communicate()
        assert process.returncode == -9, "ended before the kill"
    assert support.loadable(root) == []
    door.run(*arguments, root=root, expect=0)
    assert set(support.outputs_of(root / "bkt/o")) == {"model.safetensors"}
    door.run("verify", root / "bkt/o", expect=0)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", ["probe", "probe.1-0123456789abcdef.tmp", "state.json.1-0123456789abcdef.tmp",
                                  "report.json.1-0123456789abcdef.tmp", "tmp/state.json.1-0123456789abcdef.tmp"])
def test_what_a_kill_leaves_of_the_state_is_no_foreign_file(name: str, server: str, sources: door.Sources, root: Path):
    """SIGKILL at any moment: also while the output is tried, or while the state itself is written."""
    left = root / "bkt/o/.ckpt-state" / name
    left.parent.mkdir(parents=True)
    left.touch()
    done = door.run(*words(server, sources, KIND_OF[server][0]), root=root, expect=0)
    assert done.finals()
    assert {path.name for path in (root / "bkt/o/.ckpt-state").rglob("*") if path.is_file()} == {"report.json", "state.json"}


@pytest.mark.parametrize("server", SERVERS)
def test_two_runs_at_once_do_no_harm(server: str, root: Path, tmp_path: Path):
    """A retry before the old Pod is gone: what ends with 0 has left a sound output, and otherwise there is none."""
    support.small(tmp_path / "in", layers=3, dim=512, mlp=2048, vocab=2048)
    arguments = [f"-s={server}", "-b=bkt", "-m=Llama3.1-8B", f"-i={tmp_path / 'in'}", "-o=gs://bkt/o",
                 "--bundle_size=1MiB"]
    with door.started(*arguments, root=root) as one, door.started(*arguments, root=root) as other:
        said = [(process.communicate()[0].decode(), process.returncode) for process in (one, other)]
    print(said)
    for output, code in said:
        assert code in (0, 75)  # the second finds the first at work, or its finished output
        assert any(final in output for final in door.FINAL) == (code == 0)
    assert 0 in (code for _, code in said)
    door.run("verify", root / "bkt/o", expect=0)
    door.run(*arguments, root=root, expect=0)
    door.run("verify", root / "bkt/o", expect=0)

"""What lies in a destination is never lost by accident: foreign files are named and kept, --overwrite is explicit."""

import pytest

import support


@pytest.fixture
def model(tmp_path):
    support.small(tmp_path / "in", adversarial=False)
    return tmp_path / "in"


@pytest.mark.parametrize("foreign", ["notes.txt", "model.safetensors", "step/0/data"])
def test_foreign_files_are_refused_by_name_and_survive(foreign, model, tmp_path):
    path = tmp_path / "out" / foreign
    path.parent.mkdir(parents=True)
    path.write_bytes(b"precious\n")
    before = support.contents(tmp_path / "out")
    ran = support.convert(model, tmp_path / "out", expect=73)
    support.assert_refused(ran, 73, foreign.split("/", maxsplit=1)[0], "--overwrite")
    assert support.contents(tmp_path / "out") == before


def test_overwrite_replaces_a_checkpoint(model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/model.safetensors").write_bytes(b"old")
    support.convert(model, tmp_path / "fresh")
    support.convert(model, tmp_path / "out", "--overwrite")
    assert support.fingerprint(tmp_path / "out/model.safetensors") == support.fingerprint(tmp_path / "fresh/model.safetensors")


def test_the_same_command_again_changes_nothing_and_says_the_same(model, tmp_path):
    first = support.convert(model, tmp_path / "out", kind="int8_per_channel")
    before = support.contents(tmp_path / "out")
    again = support.convert(model, tmp_path / "out", kind="int8_per_channel")
    assert support.contents(tmp_path / "out") == before
    assert "already" in again.stdout
    told = [[line for line in ran.stdout.splitlines() if "load with" in line] for ran in (first, again)]
    assert told[0] and told[0] == told[1]


def test_what_only_says_how_fast_is_the_same_command(model, tmp_path):
    support.convert(model, tmp_path / "out")
    before = support.contents(tmp_path / "out")
    support.convert(model, tmp_path / "out", "--threads", "1", "--memory", "256MiB", "--io", "buffered")
    assert support.contents(tmp_path / "out") == before


def test_a_finished_conversion_with_other_settings_is_kept(model, tmp_path):
    support.convert(model, tmp_path / "out")
    before = support.contents(tmp_path / "out")
    support.assert_refused(support.convert(model, tmp_path / "out", kind="int8_per_channel", expect=73), 73, "--overwrite")
    assert support.contents(tmp_path / "out") == before


def test_a_finished_conversion_of_another_source_is_kept(model, tmp_path):
    support.convert(model, tmp_path / "out")
    before = support.contents(tmp_path / "out")
    support.small(tmp_path / "other", seed=2)
    ran = support.convert(tmp_path / "other", tmp_path / "out", expect=73)
    support.assert_refused(ran, 73, "--overwrite")
    assert support.contents(tmp_path / "out") == before


def test_a_refused_overwrite_keeps_what_was_there(model, tmp_path):
    support.convert(model, tmp_path / "out")
    before = support.contents(tmp_path / "out")
    (model / "config.json").unlink()
    ran = support.convert(model, tmp_path / "out", "--overwrite", expect=65)
    support.assert_refused(ran, 65, "config.json")
    assert support.contents(tmp_path / "out") == before


def test_a_destination_below_a_file_is_73(model, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    ran = support.convert(model, tmp_path / "file/out", expect=73)
    support.assert_refused(ran, 73, "file")


def test_a_destination_below_a_link_that_leads_nowhere_is_73(model, tmp_path):
    (tmp_path / "unmounted").symlink_to(tmp_path / "gone")
    ran = support.convert(model, tmp_path / "unmounted/out", expect=73)
    support.assert_refused(ran, 73, "unmounted")


def test_the_source_as_destination_is_refused_and_kept(model):
    before = support.contents(model)
    ran = support.convert(model, model, expect=64)
    support.assert_refused(ran, 64, "same folder")
    assert support.contents(model) == before


def test_verify_holds_an_output_to_its_report(model, tmp_path):
    support.convert(model, tmp_path / "out", kind="int8_per_channel")
    support.run("verify", tmp_path / "out", expect=0)
    support.run("verify", tmp_path / "out", "--source", model, expect=0)
    path = tmp_path / "out/model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1000] ^= 1
    path.write_bytes(data)
    assert support.run("verify", tmp_path / "out").exit_code == 65
    assert support.run("verify", tmp_path / "out", "--source", model).exit_code == 65

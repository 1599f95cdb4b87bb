"""Arrays by the ready script: whole, and with tasks that are stopped in every way that Slurm and its users have."""

import os
import re
import signal
import time

import pytest

import containers

SLOWLY = [{"method": "GET", "range_matches": "bytes", "delay": 1.0}]  # at the hub: a task takes 15 s and more


@pytest.fixture(name="slow")
def _slow(hub):
    """The hub answers slowly; gives what makes it quick again for what is asked from then on."""
    hub.faults(SLOWLY)
    yield hub.clear_faults
    hub.clear_faults()


def recorded(out):
    """How many bundles are finished."""
    journal = out / ".ckpt-state/journal"
    return len(list(journal.iterdir())) if journal.is_dir() else 0


def wait_until_begun(out, index, slurm, job):
    """Until a task of four has finished a bundle, as it says itself."""
    note = out / f".ckpt-state/shards/{index:05}-of-00004.json"
    until = time.monotonic() + 120
    while not re.search(r'"bundles_done": *[1-9]', note.read_text(encoding="utf-8") if note.exists() else ""):
        assert time.monotonic() < until, f"task {index} has finished nothing after 120 s\n{slurm.logs(job)}"
        time.sleep(0.02)


def committed(slurm, job):
    """The indices of the tasks that say that the checkpoint is whole: one, or those that ended at the same moment."""
    return [index for index, text in slurm.logs(job).items() if re.search(r"^converted ", text, re.MULTILINE)]


def test_an_array_makes_what_one_run_makes(slurm, single, out):
    job = slurm.submit(out, "--array=0-3")
    assert slurm.ended(job) == {index: "0:0" for index in range(4)}, slurm.logs(job)
    assert containers.without_state(out) == single
    assert committed(slurm, job), slurm.logs(job)


def test_stopped_cancelled_and_killed_tasks_are_made_good_by_the_same_line_again(slurm, single, slow, out):
    """The second array was submitted with the first, to run if that fails."""
    job = slurm.submit(out, "--array=0-3")
    again = slurm.submit(out, "--array=0-3", f"--dependency=afternotok:{job}")
    wait_until_begun(out, 3, slurm, job)
    os.kill(slurm.process(job, 3), signal.SIGKILL)
    wait_until_begun(out, 1, slurm, job)
    slurm.call("scancel", "--signal=TERM", "--full", f"{job}_1")
    wait_until_begun(out, 2, slurm, job)
    slurm.call("scancel", f"{job}_2")
    slow()
    codes = slurm.ended(job)
    assert codes[0] == "0:0" and codes[1] == codes[2] == "143:0" and codes[3] == "0:9", (codes, slurm.logs(job))
    assert not committed(slurm, job)
    assert all("run the same command again" in slurm.log(job, index) for index in (1, 2))
    kept = recorded(out)
    assert slurm.ended(again) == {index: "0:0" for index in range(4)}, slurm.logs(again)
    assert containers.without_state(out) == single
    assert committed(slurm, again), slurm.logs(again)
    print(f"{kept} bundles were recorded when the second array began")


def test_without_an_array_the_script_says_how_to_use_it(slurm, out):
    job = slurm.submit(out, f"--output={slurm.folder}/alone.log")
    until = time.monotonic() + 60
    while "ExitCode=64:0" not in (shown := slurm.call("scontrol", "show", "job", str(job))):
        assert time.monotonic() < until, shown
        time.sleep(0.1)
    assert "usage: sbatch --array=0-7" in (slurm.folder / "alone.log").read_text(encoding="utf-8")
    assert not out.exists()


def test_some_tasks_of_an_array_alone_are_no_certain_parts(slurm, out):
    """--shard auto counts the array that it is in: 1, 2 and 5 would be three parts of another split."""
    job = slurm.submit(out, "--array=1,2,5")
    assert slurm.ended(job) == {1: "64:0", 2: "64:0", 5: "64:0"}, slurm.logs(job)
    assert "--array=0-2" in slurm.log(job, 5)
    assert not out.exists()


def test_another_split_finishes_what_one_has_begun(slurm, single, slow, out):
    job = slurm.submit(out, "--array=0-3")
    wait_until_begun(out, 0, slurm, job)
    slurm.call("scancel", str(job))
    assert set(slurm.ended(job).values()) == {"143:0"}, slurm.logs(job)
    slow()
    again = slurm.submit(out, "--array=1-7:3")
    assert slurm.ended(again) == {1: "0:0", 4: "0:0", 7: "0:0"}, slurm.logs(again)
    assert containers.without_state(out) == single


def test_a_time_limit_is_announced_to_the_program(slurm, limited):
    """By the script's own --signal: with a limit of a minute and a warning of a minute, as soon as Slurm looks."""
    assert slurm.ended(limited, timeout_s=120) == {0: "143:0"}, slurm.logs(limited)
    assert "waiting" in slurm.log(limited, 0)

"""A run that is stopped, killed or out of room leaves nothing that a loader would take; what it finished is kept for the next."""

import os
import random
import resource
import shutil
import signal
import subprocess
import time

import pytest

import support

# Small bundles and one thread: a run long enough to be caught in the middle, also on a fast disk.
SLOW = ["--bundle-size", "1MiB", "--threads", "1", "--io", "buffered", "--memory", "128MiB"]
ONE_BUNDLE = ["--bundle-size", "2GiB", "--threads", "1", "--io", "buffered", "--memory", "128MiB"]
WITHIN_S = 10


def start(source, folder, kind, *flags):
    quantize = ["--quantize", kind] if kind != "bf16" else []
    command = [support.PROGRAM, "convert", source, folder, "--to", "jetstream-pytorch", *quantize, *(flags or SLOW), "--quiet"]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begun(process, folder):
    """Waits until the run has made a file in its destination: from then on there is something to clean up."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if support.has_larger_file(folder, support.MIB):
            return
        assert process.poll() is None, f"ended before it could be stopped: {process.communicate()}"
        time.sleep(0.002)
    raise AssertionError("nothing appeared in the destination")


@pytest.fixture(scope="session")
def expected(bench_model):
    """Fingerprint of the undisturbed int8 output, from a run into a folder of its own."""
    folder = support.DATA / f"run-undisturbed-{os.getpid()}"  # each worker of pytest makes its own
    support.convert(bench_model, folder, "--overwrite", kind="int8_per_channel")
    value = support.fingerprint(folder / "model.safetensors")
    shutil.rmtree(folder)
    return value


STOPS = pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])


def recorded(folder):
    """Bundles in the journal below a destination."""
    return len([path for path in folder.glob(".ckpt-state/journal/*") if path.name.isdecimal()])


def recording(process, folder, bundles=2):
    """Waits until a run has recorded some bundles: from then on there is something to keep."""
    until = time.monotonic() + 60
    while recorded(folder) < bundles:
        assert process.poll() is None, f"ended before it could be stopped: {process.communicate()}"
        assert time.monotonic() < until, "nothing was recorded"
        time.sleep(0.002)


def assert_kept(folder, errors):
    """The state is there and says how to go on; nothing else is but what a loader does not take."""
    assert "run the same command again to go on" in errors
    assert support.loadable(folder) == []
    assert recorded(folder) > 0
    assert (folder / ".ckpt-state/state.json").is_file()


@STOPS
@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.25])
def test_a_stopped_run_exits_in_seconds_and_the_next_one_goes_on(number, code, delay_s, bench_model, disk, expected):
    process = start(bench_model, disk / "out", "int8_per_channel")
    recording(process, disk / "out")
    time.sleep(delay_s)
    process.send_signal(number)
    told = time.monotonic()
    _, errors = process.communicate(timeout=WITHIN_S)
    kept = recorded(disk / "out")
    print(f"exit {process.returncode} after {time.monotonic() - told:.2f} s, {kept} bundles kept")
    assert process.returncode == code, errors
    assert_kept(disk / "out", errors)
    support.convert(bench_model, disk / "out", "--bundle-size", "1MiB", kind="int8_per_channel")
    assert support.fingerprint(disk / "out/model.safetensors") == expected
    assert support.report(disk / "out")["resumed"]["bundles_kept"] >= kept
    assert {path.name for path in (disk / "out").iterdir()} == {"model.safetensors", ".ckpt-state"}


@STOPS
def test_a_second_signal_ends_a_run_at_once(number, code, bench_model, disk):
    process = start(bench_model, disk / "out", "bf16")
    recording(process, disk / "out")
    process.send_signal(number)
    process.send_signal(number)
    told = time.monotonic()
    process.communicate(timeout=WITHIN_S)
    seconds = time.monotonic() - told
    print(f"exit {process.returncode} after {seconds:.3f} s")
    assert process.returncode == code
    assert support.loadable(disk) == []
    support.convert(bench_model, disk / "out", "--bundle-size", "1MiB")
    support.run("verify", disk / "out", expect=0)


def test_a_stopped_run_that_finished_no_bundle_removes_the_folder_that_it_made(bench_model, disk):
    process = start(bench_model, disk / "out", "bf16", *ONE_BUNDLE)
    begun(process, disk / "out")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WITHIN_S)
    # On a busy machine the stop may come when the one bundle is done: that is kept.
    assert not (disk / "out").exists() or any("/journal/" in name for name in support.contents(disk))


@STOPS
def test_a_run_into_null_stops_too(number, code, sparse_8gb):
    process = start(sparse_8gb, "null:", "int8_per_channel")
    time.sleep(0.2)
    process.send_signal(number)
    process.communicate(timeout=WITHIN_S)
    assert process.returncode == code


def test_a_stop_keeps_an_empty_folder_that_was_there_before(bench_model, disk):
    (disk / "out").mkdir()
    process = start(bench_model, disk / "out", "bf16", *ONE_BUNDLE)
    begun(process, disk / "out")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WITHIN_S)
    assert (disk / "out").is_dir()
    assert support.contents(disk) == {}


def test_killed_runs_leave_nothing_loadable_and_the_next_ones_go_on(bench_model, disk, expected):
    """A model of some size on a disk; kills at more places, targets and stores are in test_random_kills.py."""
    moments = random.Random(11)
    kills = 0
    for _ in range(6):
        # A number of bundles rather than a time: a fast disk writes them all within any delay.
        enough = recorded(disk / "out") + moments.randint(1, 12)
        process = start(bench_model, disk / "out", "int8_per_channel")
        while process.poll() is None and recorded(disk / "out") < enough:
            time.sleep(0.001)
        process.kill()
        _, errors = process.communicate(timeout=WITHIN_S)
        if process.returncode == 0:  # the work was done
            break
        assert process.returncode == -signal.SIGKILL, errors
        kills += 1
        assert support.loadable(disk) == []
    assert kills >= 3, "the run is too short for this test"
    support.convert(bench_model, disk / "out", "--bundle-size", "1MiB", kind="int8_per_channel")
    assert support.fingerprint(disk / "out/model.safetensors") == expected
    left = [path.name for path in disk.rglob("*") if path.suffix in (".part", ".tmp")]
    assert left == []
    support.run("verify", disk / "out", expect=0)


@pytest.mark.parametrize("flags", [["--quantize", "int8_per_channel", "--bundle-size", "1MiB"], ["--bundle-size", "16MiB"]],
                         ids=["another type", "other bundles"])
def test_an_unfinished_run_of_other_settings_is_refused_and_kept(flags, bench_model, disk):
    process = start(bench_model, disk / "out", "bf16")
    recording(process, disk / "out")
    process.kill()
    process.communicate(timeout=WITHIN_S)
    (disk / "out/.ckpt-state/lock").unlink()  # of no meaning once its process is gone; the next run makes and removes its own
    before = support.contents(disk / "out")
    ran = support.convert(bench_model, disk / "out", *flags, expect=73)
    support.assert_refused(ran, 73, "unfinished", "--overwrite", "ckpt clean")
    assert support.contents(disk / "out") == before
    support.convert(bench_model, disk / "out", "--overwrite", *flags)
    support.run("verify", disk / "out", expect=0)


def test_a_killed_overwrite_never_shows_the_old_front_over_new_bytes(bench_model, disk, expected):
    """--overwrite removes what makes the old output loadable first; a kill then leaves no mixture."""
    support.convert(bench_model, disk / "out", kind="int8_per_channel")
    old = support.fingerprint(disk / "out/model.safetensors")
    quick = [str(support.PROGRAM), "convert", str(bench_model), str(disk / "out"), "--to", "jetstream-pytorch",
             "--overwrite", *SLOW]
    for delay_s in (0.05, 0.2, 0.5):
        with subprocess.Popen(quick, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            time.sleep(delay_s)
            process.kill()
        for path in support.loadable(disk):
            assert support.fingerprint(path) == old == expected, f"{path} is neither the old output nor absent"
    support.convert(bench_model, disk / "out", "--overwrite")
    support.run("verify", disk / "out", expect=0)


def test_a_full_disk_is_73_or_74_and_leaves_nothing(bench_model, disk):
    limit = 64 * support.MIB  # a limit on file size looks like a full disk, and needs no root

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    command = [str(support.PROGRAM), "convert", str(bench_model), str(disk / "out"), "--to", "jetstream-pytorch"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files, check=False, env=os.environ)
    assert done.returncode in (73, 74), done.stderr
    assert "remedy" in done.stderr
    assert support.contents(disk) == {}

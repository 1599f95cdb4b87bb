"""The world goes wrong in the middle of a run: the disk is full, the output cannot be written, the source is cut, the clock jumps.

What was finished is kept, the error is clear, and once the trouble is mended the same command ends with the bytes of an undisturbed
run. Local folders: what a bucket answers is scripted in tests/remote.
"""

import contextlib
import glob
import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import cases
import places
import support

GO_ON = "same command"
HOUR_S = 3600


@pytest.fixture(scope="module", params=list(cases.TARGETS))
def case(request: pytest.FixtureRequest) -> Iterator[cases.Case]:
    with cases.opened(request.param, "file") as opened:
        yield opened


@pytest.fixture
def name(request: pytest.FixtureRequest, case: cases.Case) -> Iterator[str]:
    """A destination of a test's own."""
    own = "".join(letter if letter.isalnum() else "-" for letter in request.node.name).strip("-")
    yield own
    case.place.remove(own)


def assert_refused(ended: cases.Ended, codes: tuple[int, ...], *mentions: str) -> None:
    """One clear error with a remedy."""
    assert ended.status in codes, ended
    assert ended.errors.count("ckpt: ") == 1 and "  remedy  " in ended.errors, ended
    for word in mentions:
        assert word in ended.errors, f"the error does not mention {word!r}: {ended}"


def assert_goes_on(case: cases.Case, name: str, recorded: int, env: dict | None = None) -> None:
    """The same command ends well, and did not make again what was recorded."""
    ended = case.run(name, env=env)
    assert ended.status == 0, ended
    case.assert_whole(name, "mended")
    report = json.loads((case.place.folder(name) / places.STATE / "report.json").read_text(encoding="utf-8"))
    assert report["resumed"]["bundles_kept"] >= recorded > 0, report["resumed"]


def killed_in_the_middle(case: cases.Case, name: str) -> int:
    """Leaves an unfinished run; how many bundles it recorded."""
    with case.caught(name) as running:
        running.send(signal.SIGKILL)
        running.end()
    return case.place.recorded(name)


@contextlib.contextmanager
def file_system(case: cases.Case, size: int) -> Iterator[Callable[[str], None]]:
    """A small file system at the case's place; gives what mounts it anew with other options. Needs root."""
    def mount(*words: str) -> None:
        subprocess.run(["mount", *words, str(case.place.root)], check=True, capture_output=True)

    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    try:
        yield lambda options: mount("-o", f"remount,{options}")
    finally:
        subprocess.run(["umount", "--lazy", str(case.place.root)], check=True)


def may_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0 and os.geteuid() == 0


def test_a_full_disk_in_the_middle(case: cases.Case, name: str, disk: Path):
    """On a file system with too little room where this is root; else a limit on the size of files looks like one."""
    small = replace(case, place=places.LocalFolders(disk))
    output_bytes = case.planned()["bytes"]["written"]
    if may_mount():
        with file_system(small, output_bytes // 2) as remount:
            ended = small.run(name)
            assert_refused(ended, (73, 74), "No space left on device")
            recorded = small.place.recorded(name)
            print(f"crash: full disk: {case.name}: exit {ended.status}, {recorded} bundles were kept")
            remount(f"size={3 * output_bytes}")
            _assert_mended(small, name, recorded)
        return
    print(f"crash: full disk: {case.name}: nothing may be mounted here: a limit on the size of files instead")
    limit = sorted(path.stat().st_size for path in case.place.folder("whole").rglob("*") if path.is_file())[-1] - 1

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    done = subprocess.run(small.command(name), capture_output=True, text=True, preexec_fn=small_files, check=False)
    assert_refused(cases.Ended(done.returncode, done.stdout, done.stderr, 0), (73, 74))
    _assert_mended(small, name, small.place.recorded(name))


def _assert_mended(case: cases.Case, name: str, recorded: int) -> None:
    """A single file that has no room is refused before the first bundle, and leaves nothing; else there is something to keep."""
    if case.target.is_maxtext:
        assert_goes_on(case, name, recorded)
        return
    assert recorded == 0 and support.contents(case.place.folder(name)) == {}
    assert case.run(name).status == 0
    case.assert_whole(name, "mended")


def test_an_output_that_became_read_only(case: cases.Case, name: str, disk: Path):
    """Mounted so where this is root, whom permissions do not keep out."""
    still = replace(case, place=places.LocalFolders(disk))
    with contextlib.ExitStack() as stack:
        if may_mount():
            remount = stack.enter_context(file_system(still, 4 * case.planned()["bytes"]["written"]))
            close, reopen = (lambda: remount("ro")), (lambda: remount("rw"))
        else:
            print(f"crash: read-only: {case.name}: nothing may be mounted here: folders without permission instead")
            close = lambda: _let_write(still.place.folder(name), 0o555)  # noqa: E731
            reopen = lambda: _let_write(still.place.folder(name), 0o755)  # noqa: E731
        recorded = killed_in_the_middle(still, name)
        before = support.contents(disk)
        close()
        try:
            assert_refused(still.run(name), (73, 74, 77))
        finally:
            reopen()
        assert support.contents(disk) == before
        assert_goes_on(still, name, recorded)


def _let_write(folder: Path, mode: int) -> None:
    for place in [folder, *folder.rglob("*")]:
        if place.is_dir():
            place.chmod(mode)


@pytest.fixture
def own_source(case: cases.Case, disk: Path) -> cases.Case:
    """The case with a source of its own, which may be damaged. Times are copied, too: they are part of what a source is."""
    shutil.copytree(case.source, disk / "source")
    return replace(case, source=str(disk / "source"))


@contextlib.contextmanager
def spoilt(path: Path, how: str) -> Iterator[None]:
    """A file that is cut, replaced by another or gone; afterwards the same bytes with the same time are there again: those that were,
    or, of a file that was cut, a fresh copy, as one that is fetched again."""
    kept = path.with_suffix(".kept")
    if how == "cut":
        shutil.copy2(path, kept)
        os.truncate(path, path.stat().st_size // 2)
    else:
        path.rename(kept)
    if how == "replaced":
        path.write_bytes(bytes(kept.stat().st_size))
    yield
    kept.replace(path)


@pytest.mark.parametrize("how", ["cut", "replaced", "gone"])
def test_a_source_that_changes_in_the_middle(how: str, own_source: cases.Case, name: str):
    """All shards: the run is at any of them. What is open stays what it was when its name goes: then the run ends well."""
    shards = sorted(Path(own_source.source).glob("*.safetensors"))
    with contextlib.ExitStack() as stack:
        with own_source.caught(name) as running:
            for shard in shards:
                stack.enter_context(spoilt(shard, how))
            ended = running.carry_on()
        recorded = own_source.place.recorded(name)
        print(f"crash: source {how}: {own_source.name}: exit {ended.status}, {recorded} bundles were kept")
        if how != "cut" and ended.status == 0:
            own_source.assert_whole(name, "a source that was open")
            return
        assert_refused(ended, (65, 66, 74), "model-0000")
        assert GO_ON in ended.errors
        again = own_source.run(name)
        assert_refused(again, (65, 66, 73, 74))
        assert own_source.place.recorded(name) >= recorded, "a run on a damaged source lost what was kept"
        assert support.loadable(own_source.place.folder(name)) == []
    assert_goes_on(own_source, name, recorded)


def with_clock(offset_s: int, file: Path | None = None) -> dict[str, str]:
    """Environment of a process whose clock is off, as libfaketime makes it; of `file`, which may change in mid-run."""
    library = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    assert library, "libfaketime is not installed: tools/setup.sh test"
    how = {"LD_PRELOAD": library[0], "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    if file:
        file.write_text(f"{offset_s:+d}\n", encoding="ascii")
        return {**how, "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_NO_CACHE": "1"}
    return {**how, "FAKETIME": f"{offset_s:+d}"}


@pytest.fixture
def clocks() -> Iterator[None]:
    """Removes what libfaketime leaves in memory of processes that are gone."""
    yield
    for left in places.MEMORY.glob("*faketime_s*_*"):
        if not Path("/proc", left.name.rpartition("_")[2]).exists():
            left.unlink(missing_ok=True)


@pytest.mark.usefixtures("clocks")
def test_the_clock_of_these_tests_is_off():
    told = [int(subprocess.run(["date", "+%s"], env={**os.environ, **env}, check=True, capture_output=True).stdout)
            for env in ({}, with_clock(HOUR_S), with_clock(-HOUR_S))]
    assert abs(told[1] - told[0] - HOUR_S) < 60 and abs(told[2] - told[0] + HOUR_S) < 60


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_jumps_in_the_middle(jump_s: int, case: cases.Case, name: str, disk: Path):
    clock = disk / "clock"
    with case.caught(name, env=with_clock(0, clock)) as running:
        clock.write_text(f"{jump_s:+d}\n", encoding="ascii")
        ended = running.carry_on()
    assert ended.status == 0, ended
    case.assert_whole(name, f"the clock jumped by {jump_s} s")


@pytest.mark.usefixtures("clocks")
@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S])
def test_a_clock_that_jumps_between_two_runs(jump_s: int, case: cases.Case, name: str):
    """Once for the process, and once for the file system, whose times are then an hour away from the process's."""
    recorded = killed_in_the_middle(case, name)
    for path in (case.place.folder(name) / places.STATE).rglob("*"):
        os.utime(path, (path.stat().st_mtime - jump_s,) * 2)
    assert_goes_on(case, name, recorded, env=with_clock(jump_s))

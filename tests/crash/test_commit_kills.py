"""SIGKILL at every step of the commit: at each call that changes the folder, before and after each request that changes the bucket.

A destination is brought to where all bundles are recorded and nothing is committed. From there on each run is killed at another step;
readers look, the next run ends undisturbed, and the bytes are those of an undisturbed run. Steps that leave the same state as one
before them need no second look.
"""

import fnmatch
import hashlib
import json
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import cases
import places
import readers
import steps

NAME = "commit"
MOST_SHOWN = 12
CHANGING_METHODS = ("POST", "PUT", "DELETE")
TEMPORARY = re.compile(r"\.\d+-[0-9a-f]+(?=\.tmp$)")  # of a name: process and chance
READ_OF_REPORTS = ("program", "result", "run_digest", "error")
READ_OF_NOTES = ("shard", "shards", "state", "error", "bundles_done", "bundles_total", "open", "most_open_bytes")


class Commits:
    """Kills in the commit of one case."""

    def __init__(self, case: cases.Case):
        self.case = case
        self.kills = 0
        self.over = 0  # runs that ended before their kill
        self.seen: set[str] = set()

    def kill_everywhere(self, judge: readers.Readers) -> list[str]:
        """Every step; what did not hold after one."""
        faults = []
        for history, ended in self._killed():
            self.kills += ended.was_killed
            self.over += not ended.was_killed
            try:
                self._look(judge, history, ended)
            except AssertionError as fault:
                faults.append(str(fault).partition("\nassert ")[0])
        return faults

    def _look(self, judge: readers.Readers, history: str, ended: cases.Ended) -> None:
        """After a kill: what readers say, and what the next run makes."""
        assert ended.was_killed or ended.status == 0, f"{history}: {ended}"
        self.case.place.settle()
        state = self._state()
        if state in self.seen:
            return
        self.seen.add(state)
        judge.check(NAME, history)
        ended = self.case.run(NAME, threads=1)
        assert ended.status == 0, f"{history}: the next run: {ended}"
        self.case.assert_whole(NAME, history)

    def _killed(self) -> Iterator[tuple[str, cases.Ended]]:
        """One killed run after the other, each from the kept state, with words that say where it was killed."""
        raise NotImplementedError

    def _state(self) -> str:
        """All that a next run can find, without times and what else of a run nobody reads."""
        place = self.case.place
        folder = place.folder(NAME)
        folders = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir())
        files = sorted((TEMPORARY.sub("", name), _read_of(folder / name, digest)) for name, digest in places.digests_below(folder).items())
        told = (files, folders, place.unfinished(NAME))
        return hashlib.sha256(repr(told).encode()).hexdigest()


def _read_of(path: Path, digest: str) -> str:
    """What of a file a next run takes note of: of a report and of a shard's note a few words, of all others everything."""
    words = READ_OF_NOTES if path.parent.name == "shards" else READ_OF_REPORTS if path.name == "report.json" else ()
    try:
        told = json.loads(path.read_text(encoding="utf-8")) if words else None
    except ValueError:  # cut
        told = None
    return repr([told.get(word) for word in words]) if isinstance(told, dict) else digest


class LocalCommits(Commits):
    """Killed by a library before the program."""

    def _killed(self) -> Iterator[tuple[str, cases.Ended]]:
        case, place = self.case, self.case.place
        self._prepare()
        calls = self._calls()
        for number, call in enumerate(calls, 1):
            place.return_to_kept(NAME)
            yield (f"{case.name}, killed at call {number} of {len(calls)}, {call} where nothing kills",
                   case.run(NAME, threads=1, env=steps.killing(place.folder(NAME), number)))

    def _calls(self) -> list[str]:
        """Those of a run from here to its end."""
        log = steps.Log(self.case.place.folder(NAME))
        try:
            ended = self.case.run(NAME, threads=1, env=log.env)
            assert ended.status == 0, ended
        finally:
            calls = log.end()
        self.case.assert_whole(NAME, "a run that was counted")
        return calls

    def _prepare(self) -> None:
        """All bundles recorded, nothing committed: killed right behind the last record."""
        place = self.case.place
        with self.case.caught(NAME, threads=1) as running:
            running.send(signal.SIGKILL)
            running.end()
        place.keep(NAME)
        before = place.recorded(NAME)
        records = len([call for call in self._calls() if fnmatch.fnmatch(call, steps.RECORDING)])
        place.return_to_kept(NAME)
        ended = self.case.run(NAME, threads=1, env=steps.killing_behind_record(place.folder(NAME), records))
        assert ended.was_killed and place.recorded(NAME) == before + records, f"{before} + {records} records: {ended}"
        place.keep(NAME)


class BucketCommits(Commits):
    """Killed by the stub."""

    def _killed(self) -> Iterator[tuple[str, cases.Ended]]:
        stub = self.case.place.stub
        self._prepare()
        stub.clear_requests()
        ended = self.case.run(NAME, threads=1)
        assert ended.status == 0, ended
        self.case.assert_whole(NAME, "from the state before the commit")
        changing = [(number, request) for number, request in enumerate(stub.requests(), 1) if request["method"] in CHANGING_METHODS]
        assert changing
        for number, request in changing:
            # Records are removed one after the other: before one is after the one before it.
            is_next_record = request["method"] == "DELETE" and "journal" in request["path"]
            for when in ("after",) if is_next_record else ("before", "after"):
                stub.return_to_kept()
                stub.clear_requests()
                with self.case.start(NAME, threads=1, waits=True) as running:
                    stub.kill(running.pid, request=number, when=when)
                    running.go_on()
                    ended = running.end()
                stub.settle()
                stub.let_live()
                last = stub.requests()[-1]
                yield (f"{self.case.name}, killed {when} request {number} ({last['method']} {last['path']}?{last['query']} "
                       "was the last that was read)", ended)

    def _prepare(self) -> None:
        """All bundles recorded, nothing committed: killed before the answer to the last record."""
        stub = self.case.place.stub
        for wanted in (self.case.whole.bundles, self.case.whole.bundles - 1):  # the front may count, and have its record later
            self.case.place.remove(NAME)
            with self.case.start(NAME, threads=1, waits=True) as running:
                stub.kill(running.pid, objects=wanted, name=rf"^bkt/{NAME}/.*journal/0*[1-9]\d*$")
                running.go_on()
                ended = running.end()
            stub.settle()
            stub.let_live()
            if ended.was_killed:
                assert self.case.place.recorded(NAME) >= wanted
                stub.keep()
                return
            assert ended.status == 0, ended
        raise AssertionError("the last record was not seen")


@pytest.mark.parametrize("place", ["gs", "file"])  # the long ones first
@pytest.mark.parametrize("target", list(reversed(cases.TARGETS)))
def test_a_kill_at_any_step_of_the_commit_is_mended_by_the_next_run(target: str, place: str):
    with cases.opened(target, place) as case:
        judge = readers.readers_of(case)
        commits = (LocalCommits if place == "file" else BucketCommits)(case)
        try:
            faults = commits.kill_everywhere(judge)
        finally:
            judge.stop()
        print(f"crash: {case.name}: {case.whole.bundles} bundles, {commits.kills} kills in the commit, {len(commits.seen)} different "
              f"states; outputs after a kill: {judge.told()}; {commits.over} runs were over before their kill")
        assert not faults, "\n".join([f"{len(faults)} times:", *faults[:MOST_SHOWN]])
        assert commits.kills >= 10 and commits.over <= commits.kills // 10


@pytest.mark.parametrize("target", list(cases.TARGETS))
def test_the_calls_that_kills_are_placed_at_are_all_that_strace_sees(target: str, tmp_path: Path):
    if steps.why_no_strace():
        print(f"crash: the calls of {target} are not compared with strace's: {steps.why_no_strace()}")
        return
    with cases.opened(target, "file") as case:
        folder = case.place.folder(NAME)
        log = steps.Log(folder)
        # The library is the program's alone: strace would write down its own calls else.
        loaded = ("env", *(f"{name}={value}" for name, value in log.env.items()))
        ended = case.run(NAME, before=(*steps.strace(tmp_path / "strace"), *loaded))
        assert ended.status == 0, ended
        counts = Counter(call.partition(" ")[0] for call in log.end())
        counts["openat"] += counts.pop("open", 0)
        assert counts == steps.seen_by_strace(tmp_path / "strace", folder)

"""SIGKILL at every step of the commit: at each call that changes the folder, before and after each request that changes the bucket.

A destination is brought to where all bundles are recorded and nothing is committed. From there on each run is killed at another step;
readers look, the next run ends undisturbed, and the bytes are those of an undisturbed run. Steps that leave the same state as one
before them need no second look.
"""

import hashlib
import random
import re
import signal
from collections.abc import Iterator

import pytest

import cases
import places
import readers
import tracing

RECORDED = re.compile(r'(?:rename|link)\w*\(.*journal.*"(?:[^"]*/)?0*[1-9]\d*"')
RECORD = re.compile(r"journal/\d+$")
NAME = "commit"
UNTRACED_KILLS = 60
TRIES = 5
MOST_SHOWN = 12
CHANGING_METHODS = ("POST", "PUT", "DELETE")


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
        """All that a next run can find."""
        place = self.case.place
        folder = place.folder(NAME)
        folders = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir())
        told = (sorted(places.digests_below(folder).items()), folders, place.unfinished(NAME))
        return hashlib.sha256(repr(told).encode()).hexdigest()


class LocalCommits(Commits):
    """Killed by strace."""

    def _killed(self) -> Iterator[tuple[str, cases.Ended]]:
        case = self.case
        if tracing.why_not():
            yield from self._killed_at_random()
            return
        self._prepare()
        steps = self._trace(NAME)
        distinct = list({(step.name, step.count): step for step in reversed(steps)}.values())[::-1]
        self.hidden = len(steps) - len(distinct)  # another thread comes to the same count of the same call
        for step in distinct:
            case.place.return_to_kept(NAME)
            yield f"{case.name}, killed at {step}", case.run(NAME, threads=1, before=tracing.killing(step))

    def _trace(self, name: str) -> list[tracing.Step]:
        log = tracing.log_file()
        try:
            ended = self.case.run(name, threads=1, before=tracing.tracing(log))
            assert ended.status == 0, ended
            return tracing.steps_of(log, self.case.place.folder(name))
        finally:
            log.unlink()

    def _prepare(self) -> None:
        """All bundles recorded, nothing committed: killed right behind the last record, by a run that had few bundles left. (In a
        long one, notes of how far it is come by the clock, so that calls have other numbers each time.)"""
        place = self.case.place
        with self.case.caught(NAME, threads=1, bundles=cases.LEAST_BUNDLES - 10) as running:
            running.send(signal.SIGKILL)
            running.end()
        place.keep(NAME)
        before = place.recorded(NAME)
        steps = self._trace(NAME)
        self.case.assert_whole(NAME, "a traced run")
        recording = [at for at, step in enumerate(steps) if RECORDED.match(f"{step.name}({step.text}")]
        assert recording, "no record of a bundle is seen"
        recorder = steps[recording[-1]].thread  # its calls come in the same order in each run, not so those of the threads that write
        for step in [step for step in steps[recording[-1] + 1:] if step.thread == recorder][:TRIES]:
            place.return_to_kept(NAME)
            self.case.run(NAME, threads=1, before=tracing.killing(step))
            if place.recorded(NAME) >= before + len(recording):
                place.keep(NAME)
                return
        raise AssertionError(f"no kill came between the last of {before} + {len(recording)} records and the commit")

    def _killed_at_random(self) -> Iterator[tuple[str, cases.Ended]]:
        """Where tracing is not allowed: kills at random in the last part of a run."""
        case = self.case
        print(f"crash: {case.name}: {tracing.why_not()}: the commit is killed at {UNTRACED_KILLS} random moments instead")
        moments = random.Random(case.name)
        while self.kills < UNTRACED_KILLS:
            case.place.remove(NAME)
            with case.start(NAME, threads=1) as running:
                while not running.is_over() and case.place.recorded(NAME) < case.whole.bundles - 1:
                    pass
                delay_s = moments.uniform(0, case.whole.wall_s / 2)
                yield f"{case.name}, killed {delay_s:.4f} s behind the last record", running.kill_after(delay_s)


class BucketCommits(Commits):
    """Killed by the stub."""

    hidden = 0

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
              f"states; outputs after a kill: {judge.told()}; {commits.over} runs were over before their kill, {commits.hidden} calls "
              "of other threads have the number of one that was killed")
        assert not faults, "\n".join([f"{len(faults)} times:", *faults[:MOST_SHOWN]])
        assert commits.kills >= 10 and commits.over <= commits.kills // 10

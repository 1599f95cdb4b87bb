"""Shards in any order, all at once, killed, repeated, and two programs at once on one of them: the bytes are a single run's, and there is
one commit: what makes readers accept the outputs comes to be once. Of two that find all recorded at the same moment one makes it; the
other one may find it there, equal, and tell of it as its own."""

import contextlib
import random
import signal
import time

import pytest

import cases

COUNTS = (1, 2, 3, 7, 16)
MOST_KILLED = 3
TOGETHER, AT_ONCE = 3, 4
TURNS = {"file": 5, "gs": 2}  # a bucket's runs are of more bytes
AT_WORK = 75  # the exit code of a run beside another one
COMMITTED = "converted "
LATE = "converted already"
WAITING = "the shard that finishes last commits"


class Shards:
    """The shards of one destination, as they end."""

    def __init__(self, case: cases.Case, count: int, moments: random.Random):
        self.case, self.count, self.moments = case, count, moments
        self.name = f"of-{count}"
        self.history = f"{case.name} in {count} shards:"
        self.killed = self.commits = self.late = 0
        self.at_once = 0  # of those: one that two told of

    def start(self, index: int) -> cases.Running:
        return self.case.start(self.name, "--shard", f"{index}/{self.count}", threads=1)

    def take(self, ended: cases.Ended, index: int) -> None:
        """Counts how an undisturbed shard ended."""
        self.history += f" {index}"
        assert ended.status == 0, f"{self.history}: {ended}"
        said = [line for line in ended.output.splitlines() if line.startswith((COMMITTED, "shard "))]
        assert len(said) == 1, f"{self.history}: {ended}"
        self.late += said[0].startswith(LATE)
        self.commits += said[0].startswith(COMMITTED) and not said[0].startswith(LATE)
        assert said[0].startswith(COMMITTED) or WAITING in said[0], f"{self.history}: {ended}"

    def let_run(self, index: int) -> None:
        with self.start(index) as running:
            self.take(running.end(), index)

    def kill(self, index: int) -> None:
        with self.start(index) as running:
            ended = running.kill_after(self.moments.random() * self.case.whole.wall_s / self.count)
        self.case.place.settle()
        if not ended.was_killed:
            self.take(ended, index)
            return
        self.killed += 1
        self.history += f" {index} (killed)"
        if not self.commits and self.case.is_committed(self.name):  # it was killed before it could say so
            self.commits += 1
            self.history += " after its commit"

    def let_two_run(self, index: int) -> None:
        """Two at once. Which of them is first is open; neither may be harmed."""
        with self.start(index) as one, self.start(index) as other:
            ends = [one.end(), other.end()]
        before = self.commits
        for ended in ends:
            if self.count > 1 or ended.status != AT_WORK:  # one shard is the whole, which is one program's
                self.take(ended, index)
        self.at_once += self.commits - before == 2


@pytest.mark.parametrize("place", ["gs", "file"])  # the long ones first
@pytest.mark.parametrize("target", list(reversed(cases.TARGETS)))
def test_shards_that_are_killed_and_repeated_make_a_single_runs_bytes(target: str, place: str):
    moments = random.Random(f"shards {target} {place}")
    with cases.opened(target, place) as case:
        for count in COUNTS:
            shards = Shards(case, count, moments)
            order = moments.sample(range(count), count)
            for index in order[:MOST_KILLED]:
                shards.kill(index)
            moments.shuffle(order)
            for number, index in enumerate(order):
                if number == count // 2:
                    shards.let_two_run(index)
                else:
                    shards.let_run(index)
                if number == count // 3:
                    shards.let_run(index)  # again, with nothing to do, or by then late
            shards.let_run(order[0])
            case.assert_whole(shards.name, shards.history)
            case.assert_committed_once(shards.name, shards.history)
            assert shards.commits - shards.at_once == 1, f"{shards.history}: {shards.commits} commits"
            assert shards.late >= 1, shards.history
            print(f"crash: {case.name}: {count} shards, {shards.killed} killed, {shards.commits} commit, {shards.late} came late")
            case.place.remove(shards.name)


@pytest.mark.parametrize("place", ["gs", "file"])
@pytest.mark.parametrize("target", list(reversed(cases.TARGETS)))
def test_shards_that_begin_together_are_in_nobodys_way(target: str, place: str):
    """As the pods of a Job do: each looks at a destination that the others begin to fill at this moment."""
    moments = random.Random(f"together {target} {place}")
    with cases.opened(target, place) as case:
        for turn in range(TOGETHER):
            shards = Shards(case, AT_ONCE, moments)
            shards.name = f"together-{turn}"
            with contextlib.ExitStack() as stack:
                begun = []
                for index in moments.sample(range(AT_ONCE), AT_ONCE):
                    begun.append((index, stack.enter_context(shards.start(index))))
                    time.sleep(moments.choice((0, 0, 0.01, 0.03)))
                for index, running in begun:
                    shards.take(running.end(), index)
            shards.let_run(0)  # takes away what one of them may have said of itself after the commit
            case.assert_whole(shards.name, shards.history)
            case.assert_committed_once(shards.name, shards.history)
            assert shards.commits >= 1, shards.history
            case.place.remove(shards.name)
        print(f"crash: {case.name}: {TOGETHER} times {AT_ONCE} shards that began together")


@pytest.mark.parametrize("place", ["gs", "file"])
@pytest.mark.parametrize("target", list(reversed(cases.TARGETS)))
def test_two_that_end_the_last_shard_at_once_do_no_harm(target: str, place: str):
    with cases.opened(target, place) as case:
        commits = 0
        turns = TURNS[place]
        for turn in range(turns):
            shards = Shards(case, 3, random.Random(turn))
            shards.name = f"twice-{turn}"
            for index in (0, 1):
                shards.let_run(index)
            with shards.start(2) as one, shards.start(2) as other:
                if turn == turns - 1:  # and one of them, that may be at its commit, is killed
                    while not one.is_over() and case.place.recorded(shards.name) < case.whole.bundles - 2:
                        pass
                    one.send(signal.SIGKILL)
                    one.end()
                else:
                    shards.take(one.end(), 2)
                shards.take(other.end(), 2)
            case.place.settle()
            shards.let_run(1)
            case.assert_whole(shards.name, shards.history)
            case.assert_committed_once(shards.name, shards.history)
            commits += shards.commits
            case.place.remove(shards.name)
        assert commits >= turns - 1
        print(f"crash: {case.name}: {turns} times two at once on the last shard: {commits} told of a commit, each output was made once")

"""SIGKILL at random moments, several in a row: the next run goes on, no reader takes what is half done, the bytes are the same.

CKPT_CRASH_KILLS is how many for each target and store (./dev crash N), CKPT_CRASH_SEED draws other moments.
"""

import os
import random
import re

import pytest

import cases
import readers

KILLS = int(os.environ.get("CKPT_CRASH_KILLS", "10"))
SEED = os.environ.get("CKPT_CRASH_SEED", "9")
MOST_IN_A_ROW = 5
COMMIT_SHARE = 0.2  # of a run's time
MOST_RUNS_PER_KILL = 10  # a run that is over before its kill counts for nothing


@pytest.mark.parametrize("place", ["gs", "file"])  # the long ones first
@pytest.mark.parametrize("target", list(reversed(cases.TARGETS)))
def test_killed_runs_go_on_to_the_same_bytes(target: str, place: str):
    with cases.opened(target, place) as case:
        judge = readers.readers_of(case)
        try:
            lives, runs, resumed = _kill_at_random(case, judge)
        finally:
            judge.stop()
        print(f"crash: {case.name}: {case.whole.bundles} bundles, {KILLS} kills in {runs} runs for {lives} outputs, seed {SEED}; "
              f"an undisturbed run takes {case.whole.wall_s:.2f} s; {resumed} runs went on with recorded bundles; "
              f"outputs after a kill: {judge.told()}")


def _kill_at_random(case: cases.Case, judge: readers.Readers) -> tuple[int, int, int]:
    """Kills KILLS runs; returns how many outputs that took, and how many runs, and how many found bundles recorded."""
    moments = random.Random(f"{SEED} {case.name}")
    kills = lives = runs = resumed = 0
    whole_s = case.whole.wall_s  # of a run from nothing; the least that was seen, as others may be at work on this machine
    while kills < KILLS:
        lives += 1
        name = f"life-{lives}"
        history = f"{case.name}, seed {SEED}, output {lives}: killed after"
        for _ in range(min(moments.randint(1, MOST_IN_A_ROW), KILLS - kills)):
            recorded = case.place.recorded(name)
            delay_s = moments.random() * whole_s * max(COMMIT_SHARE, 1 - recorded / case.whole.bundles)
            runs += 1
            assert runs <= MOST_RUNS_PER_KILL * KILLS, f"{history}: {kills} kills in {runs} runs"
            resumed += recorded > 0
            with case.start(name) as running:
                ended = running.kill_after(delay_s)
            case.place.settle()
            if not ended.was_killed:
                assert ended.status == 0, f"{history}: {ended}"
                whole_s = min(whole_s, ended.wall_s) if recorded == 0 else whole_s
                break
            kills += 1
            history += f" {delay_s:.3f} s ({case.place.recorded(name)} recorded),"
            judge.check(name, history)
        has_recorded = case.place.recorded(name) > 0
        resumed += has_recorded
        runs += 1
        ended = case.run(name)
        assert ended.status == 0, f"{history}: {ended}"
        assert not has_recorded or re.search("bundles were finished before and are kept|^converted already", ended.output), ended
        case.assert_whole(name, history)
        case.place.remove(name)
    return lives, runs, resumed

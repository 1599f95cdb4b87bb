"""SIGTERM while a bucket takes its time: what a stopped run no longer waits for is carried out all the same, after it has tidied up.

The next run, which may begin before that, goes on or begins anew; it never takes what came late for another run's, and the bytes are
those of an undisturbed run. A third of CKPT_CRASH_KILLS is how many stops for each target, CKPT_CRASH_SEED draws other moments.
"""

import os
import random
import signal
import time

import pytest

import cases

STOPS = max(4, int(os.environ.get("CKPT_CRASH_KILLS", "10")) // 3)
SEED = os.environ.get("CKPT_CRASH_SEED", "9")
MOST_IN_A_ROW = 5
MOST_RUNS_PER_STOP = 10
COMMIT_S = 0.6  # at least as long as a commit over such a service
FAULTS = [{"method": "POST|PUT|DELETE", "chance": 0.05, "delay": 0.4}, {"method": "GET", "chance": 0.02, "delay": 0.3},
          {"method": "POST|PUT", "chance": 0.01, "status": 503, "carried_out": True, "headers": {"Retry-After": "0"}},
          {"chance": 0.01, "status": 503, "headers": {"Retry-After": "0"}}, {"chance": 0.005, "refuse": True}]
ENDINGS = {0, 143, -signal.SIGTERM}  # the last: before it listens to signals


@pytest.mark.parametrize("target", list(reversed(cases.TARGETS)))
def test_what_is_carried_out_late_is_in_nobodys_way(target: str):
    with cases.opened(target, "gs") as case:
        moments = random.Random(f"{SEED} {case.name}")
        case.place.stub.faults(FAULTS)
        stops = outputs = runs = 0
        while stops < STOPS:
            outputs += 1
            name, history = f"late-{outputs}", f"{case.name}, seed {SEED}, output {outputs}: stopped after"
            for _ in range(min(moments.randint(1, MOST_IN_A_ROW), STOPS - stops)):
                runs += 1
                assert runs <= MOST_RUNS_PER_STOP * STOPS, f"{history}: {stops} stops in {runs} runs"
                with case.start(name) as running:
                    _wait(case, name, running, moments)
                    is_stopped = not running.is_over()
                    running.send(signal.SIGTERM)
                    ended = running.end()
                assert ended.status in ENDINGS, f"{history}: {ended}"
                stops += is_stopped
                history += f" {ended.wall_s:.3f} s ({case.place.recorded(name)} recorded),"
                if ended.status == 0:
                    break
                if moments.random() < 0.5:
                    case.place.settle()
            case.place.settle()
            ended = case.run(name)
            assert ended.status == 0, f"{history}: {ended}"
            case.assert_whole(name, history)
            case.place.remove(name)
        print(f"crash: {case.name}: {case.whole.bundles} bundles, {stops} stops in {runs} runs for {outputs} outputs, seed {SEED}, "
              f"over a service that carries out late")


def _wait(case: cases.Case, name: str, running: cases.Running, moments: random.Random) -> None:
    """Any moment of a run, or more often one when all bundles but a few are recorded: in the commit, mostly."""
    if moments.random() < 0.6:
        wanted = case.whole.bundles - moments.choice((0, 1, 3))
        while not running.is_over() and case.place.recorded(name) < wanted:
            time.sleep(0.002)
        until = time.monotonic() + moments.uniform(0, COMMIT_S)
    else:
        until = running.began + moments.uniform(0.02, 2 * case.whole.wall_s)
    while not running.is_over() and time.monotonic() < until:
        time.sleep(0.002)

"""A kill costs no more than the bundles that were open: what is read again is bounded, and the report tells the bound."""

import json
import random
import re
import signal
import time
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

import pytest

import cases
import places
import support

KILLS = 6
SOURCE_PER_OUTPUT = {"jetstream-bf16": 1, "jetstream-int8": 2, "hf-w8a8": 2, "maxtext": 1}  # bytes read for a byte of the largest output
# What a lane holds open, in bundles: its own, and a buffer or two read ahead of the next ones.
MOST_OPEN = 3
# What the committer reads of a safetensors source, in bytes of the output: at least 8 MiB, in whole bands, up to its last side value.
MOST_FRONT_BYTES = 10 * support.MIB
# What each start reads besides weights: headers, libraries, the system's tables, its own state.
START_BYTES = support.MIB


def told_by(case: cases.Case, name: str) -> int:
    """What the process that was just killed said that a kill can cost: nothing where it had not begun to read."""
    note = case.place.folder(name) / places.STATE / "shards/00000-of-00001.json"
    return json.loads(note.read_text(encoding="utf-8"))["most_open_bytes"] if note.exists() else 0


def read_by(pid: int) -> int:
    """Bytes that a process asked of files; of one that stands still, or has ended and was not waited for."""
    return int(re.search(r"rchar: (\d+)", Path(f"/proc/{pid}/io").read_text(encoding="ascii"))[1])


@dataclass(frozen=True)
class Moment:
    """When a run is killed: some time after it has recorded so many bundles, with those of the runs before it. Not a time alone: on
    a busy machine a run may not have begun to read when it is over on a quiet one."""

    bundles: int
    delay_s: float


class Counted:
    """Runs of a case, killed or not, and what they read of the source."""

    def __init__(self, case: cases.Case):
        self.case = case

    def run(self, name: str, moment: Moment | None = None) -> tuple[bool, int]:
        """Whether the run was killed, and what it had read."""
        raise NotImplementedError

    def wait_for(self, running: cases.Running, name: str, bundles: int) -> None:
        """Until so many are recorded, or the run is over."""
        while not running.is_over() and self.case.place.recorded(name) < bundles:
            time.sleep(0.002)


class LocalSource(Counted):
    """Counted by the kernel, libraries and all."""

    def run(self, name: str, moment: Moment | None = None) -> tuple[bool, int]:
        with self.case.start(name) as running:
            if moment:
                self.wait_for(running, name, moment.bundles)
            is_over = running.stand_still(moment.delay_s if moment else None)
            count = read_by(running.pid)
            if not is_over:
                running.send(signal.SIGKILL)
            ended = running.end()
        assert ended.was_killed or ended.status == 0, ended
        return ended.was_killed, count


class RemoteSource(Counted):
    """Counted by the stub: the ranges that were asked for."""

    def run(self, name: str, moment: Moment | None = None) -> tuple[bool, int]:
        stub = self.case.place.stub
        stub.clear_requests()
        with self.case.start(name) as running:
            if moment:
                self.wait_for(running, name, moment.bundles)
                ended = running.kill_after(time.monotonic() - running.began + moment.delay_s)
            else:
                ended = running.end()
        self.case.place.settle()
        assert ended.was_killed or ended.status == 0, ended
        ranges = [request["range"] for request in stub.requests()
                  if urllib.parse.unquote(request["path"]).rpartition("/o/")[2].startswith("source/") and request["range"]]
        asked = [re.fullmatch(r"bytes=(\d+)-(\d+)", text) for text in ranges]
        return ended.was_killed, sum(int(one[2]) + 1 - int(one[1]) for one in asked)


@dataclass
class Cost:
    """What kills cost."""

    kills: int = 0
    outputs: int = 0
    again: int = 0  # bytes
    bound: int = 0  # what the killed processes owned up to
    told: int = 0  # the most that a report owns up to


def cost_of(counted: Counted, moments: random.Random) -> Cost:
    """Kills and lets go on until KILLS kills were made."""
    case, cost = counted.case, Cost()
    _, undisturbed = counted.run("undisturbed")
    case.place.remove("undisturbed")
    twice = case.planned()["bytes"]["read_twice"]  # statistics, which each process makes that needs them
    while cost.kills < KILLS:
        cost.outputs += 1
        runs, read, was_killed = 0, 0, True
        while was_killed:
            moment = Moment(case.place.recorded("lost") + moments.randint(0, case.whole.bundles // 3),
                            moments.uniform(0, case.whole.wall_s / 10))
            was_killed, count = counted.run("lost", moment if cost.kills < KILLS else None)
            runs, read, cost.kills = runs + 1, read + count, cost.kills + was_killed
            cost.bound += told_by(case, "lost") if was_killed else 0
        cost.again += max(0, read - undisturbed - (runs - 1) * (START_BYTES + twice))
        resumed = json.loads((case.place.folder("lost") / places.STATE / "report.json").read_text(encoding="utf-8"))["resumed"]
        assert resumed["bundles_kept"] <= case.whole.bundles
        cost.told = max(cost.told, resumed["read_again_at_most_bytes"])
        case.assert_whole("lost", f"{case.name}, {cost.kills} kills")
        case.place.remove("lost")
    return cost


@pytest.mark.parametrize("place", ["gs", "file"])
@pytest.mark.parametrize("target", list(cases.TARGETS))
def test_a_kill_costs_at_most_what_the_lanes_had_open(target: str, place: str):
    with cases.opened(target, place, has_remote_source=place == "gs") as case:
        cost = cost_of((LocalSource if place == "file" else RemoteSource)(case), random.Random(f"lost {case.name}"))
        print(f"crash: {case.name}: {case.whole.bundles} bundles, {cost.kills} kills for {cost.outputs} outputs cost "
              f"{cost.again / 1e6:.1f} MB read again, at most {cost.bound / 1e6:.1f} MB; a report says up to {cost.told / 1e6:.1f} MB")
        assert cost.again <= cost.bound
        most = max(cases.LANES * MOST_OPEN * case.planned()["bundle_bytes"], MOST_FRONT_BYTES)
        assert cost.bound <= cost.kills * most * SOURCE_PER_OUTPUT[target]
        assert 0 < cost.told <= case.planned()["bytes"]["read"]

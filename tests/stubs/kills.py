"""Kills a client at a chosen moment: SIGKILL comes while the service is at work, as no timer could make it. README.md has the rule."""

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterable

PATIENCE_S = 10


class Kills:
    """At most one rule, used once. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rule: dict = {}
        self._seen = 0

    def plan(self, rule: dict) -> None:
        """`rule` is {} or has "pid" and either "request" (from 1) with "when" ("before", "after"), or "objects" and "name"."""
        re.compile(rule.get("name", ""))
        with self._lock:
            self._rule, self._seen = rule, 0

    def begin(self) -> tuple[bool, bool]:
        """Counts a request; whether the client is to be killed before it is read, and after it is carried out."""
        with self._lock:
            self._seen += 1
            is_meant = self._rule.get("request") == self._seen
            when = self._rule.get("when", "before")
            return is_meant and when == "before", is_meant and when == "after"

    def is_due(self, names: Callable[[], Iterable[str]]) -> bool:
        """Whether as many objects of the rule's name are there as it waits for."""
        with self._lock:
            if "objects" not in self._rule:
                return False
            return sum(bool(re.search(self._rule["name"], name)) for name in names()) >= self._rule["objects"]

    def carry_out(self) -> None:
        """Kills, and returns when the client cannot send another byte."""
        with self._lock:
            pid = self._rule.pop("pid", None)
            self._rule = {}
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + PATIENCE_S
        while not _is_dead(pid) and time.monotonic() < until:
            time.sleep(0.001)


def _is_dead(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True

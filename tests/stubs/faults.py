"""Scripted faults: which requests they meet, and what then happens. README.md lists them."""

import random
import re
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service import Request


class Faults:
    """The rules that are in force, in order. Thread-safe."""

    MATCHING = ("method", "path", "query", "range_matches", "body_over", "skip", "times", "chance")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chances = random.Random(0)
        self._rules: list[dict] = []

    def add(self, rules: list[dict]) -> None:
        with self._lock:
            for rule in rules:
                re.compile(rule.get("path", "")), re.compile(rule.get("query", ""))
                self._rules.append({**rule, "skip": rule.get("skip", 0), "times": rule.get("times"), "applied": 0})

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def shown(self) -> list[dict]:
        with self._lock:
            return [dict(rule) for rule in self._rules]

    def is_greeted_wrongly(self) -> bool:
        """Whether a new connection is shown the certificate of another name."""
        with self._lock:
            for rule in self._rules:
                if rule.get("other_name") and self._happens(rule):
                    rule["applied"] += 1
                    return True
        return False

    def applied_to(self, request: "Request") -> dict:
        """The actions of all rules that match, merged; each is counted as used."""
        actions: dict = {}
        with self._lock:
            for rule in self._rules:
                if rule.get("other_name") or not self._matches(rule, request):
                    continue
                if not self._happens(rule):
                    continue
                if rule["skip"] > 0:
                    rule["skip"] -= 1
                    continue
                if rule["times"] is not None and rule["applied"] >= rule["times"]:
                    continue
                rule["applied"] += 1
                for name, value in rule.items():
                    if name not in self.MATCHING and name != "applied":
                        actions.setdefault(name, value)
        return actions

    def _happens(self, rule: dict) -> bool:
        return self._chances.random() < rule.get("chance", 1)

    @staticmethod
    def _matches(rule: dict, request: "Request") -> bool:
        if "body_over" in rule and int(request.headers.get("Content-Length") or 0) <= rule["body_over"]:
            return False
        return (request.method in (rule.get("method") or request.method).split("|")
                and re.search(rule.get("path", ""), request.path) is not None
                and re.search(rule.get("query", ""), request.query) is not None
                and re.search(rule.get("range_matches", ""), request.headers.get("Range") or "") is not None)

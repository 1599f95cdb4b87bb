"""Starts a stub for a test and stops it with the test:

    with started("gcs", "--bucket", "b") as gcs:
        gcs.faults([{"method": "GET", "path": "/o/", "times": 1, "status": 503}])
        ...gcs.url...
        assert [request["status"] for request in gcs.requests()] == [503, 200]
"""

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stub:
    """A running stub: where it listens, and its control interface."""

    def __init__(self, name: str, arguments: tuple[str, ...]):
        self.name = name
        self.url = ""
        self.said: dict[str, str] = {}  # what else it printed at its start, such as "cdn": its address
        self.process = subprocess.Popen([sys.executable, str(FOLDER / f"{name}.py"), *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        while not self.url:
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"the stub {name} ended with {self.process.wait()} instead of listening")
            what, _, value = line.strip().partition(" ")
            if what == "listening":
                self.url = value.removeprefix("on ")
            else:
                self.said[what] = value

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def control(self, method: str, what: str, body: bytes | None = None, headers: dict | None = None) -> bytes:
        """A request of the control interface; returns the answer's body."""
        kind = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.url}/_stub/{what}", data=body, method=method,
                                         headers={**kind, **(headers or {})})
        with DIRECT.open(request, timeout=300) as answer:
            return answer.read()

    def faults(self, rules: list[dict]) -> None:
        """Adds fault rules to those in force."""
        self.control("POST", "faults", json.dumps(rules).encode())

    def fault_rules(self) -> list[dict]:
        """The rules in force; `applied` of each says how often it was."""
        return json.loads(self.control("GET", "faults"))

    def clear_faults(self) -> None:
        self.control("DELETE", "faults")

    def requests(self) -> list[dict]:
        """The requests seen so far, without those of the control interface."""
        return json.loads(self.control("GET", "requests"))

    def clear_requests(self) -> None:
        self.control("DELETE", "requests")

    def kill(self, pid: int, **rule) -> None:
        """Plans a SIGKILL: `request` (from 1, counted from now) with `when` "before" or "after", or `objects` with `name`."""
        self.control("PUT", "kill", json.dumps({"pid": pid, **rule}).encode())

    def let_live(self) -> None:
        """Forgets what `kill` planned."""
        self.control("PUT", "kill", b"{}")

    def settle(self) -> None:
        """Waits until clients that are gone are gone for the service, too."""
        until = time.monotonic() + 60
        while json.loads(self.control("GET", "connections")):
            assert time.monotonic() < until, "a connection stays open"
            time.sleep(0.005)

    def keep(self) -> None:
        """gcs: keeps all objects and uploads as they are."""
        self.settle()
        self.control("PUT", "kept", b"")

    def return_to_kept(self) -> None:
        """gcs: objects and uploads are again what they were at `keep`."""
        self.settle()
        self.control("POST", "kept", b"")

    def uploads(self) -> dict[str, list[str]]:
        """gcs: names of what is begun and neither finished nor given up, "resumable" and "multipart"."""
        return json.loads(self.control("GET", "uploads"))

    def made(self, place: str) -> dict[str, int]:
        """gcs: how many generations there were of each object whose "BUCKET/NAME" begins so."""
        return json.loads(self.control("GET", f"made/{place}"))

    def put(self, place: str, data: bytes, **headers: str) -> None:
        """Seeds an object, past the service's own rules; `place` is "BUCKET/NAME" for gcs."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.control("PUT", f"objects/{place}", data, named)

    def get(self, place: str) -> bytes:
        """An object's bytes as they are stored."""
        return self.control("GET", f"objects/{place}")

    def names(self, bucket: str) -> list[str]:
        """Names of a bucket's objects, in order."""
        return json.loads(self.control("GET", f"names/{bucket}"))

    def stop(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@contextlib.contextmanager
def started(name: str, *arguments: str) -> Iterator[Stub]:
    """The stub `name`.py, running with these arguments."""
    stub = Stub(name, tuple(map(str, arguments)))
    try:
        yield stub
    finally:
        stub.stop()

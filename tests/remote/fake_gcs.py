"""fake-gcs-server, an emulator of Google Cloud Storage that others wrote (tools/fake_gcs.sh): it keeps objects in memory, has the JSON
API alone, and no multipart uploads."""

import contextlib
import json
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import support
from started import DIRECT


class FakeGcs:
    """A running server."""

    def __init__(self, url: str):
        self.url = url

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """A request as any client's."""
        request = urllib.request.Request(self.url + path, data=body, method=method, headers={"Content-Type": "application/json"})
        with DIRECT.open(request, timeout=60) as answer:
            return answer.read()

    def make_bucket(self, name: str) -> None:
        self.ask("POST", "/storage/v1/b?project=test", json.dumps({"name": name}).encode())

    def names(self, bucket: str) -> list[str]:
        """Of all objects, in the pages of at most ten that the server gives."""
        names, page = [], ""
        while True:
            told = json.loads(self.ask("GET", f"/storage/v1/b/{bucket}/o?maxResults=10&pageToken={urllib.parse.quote(page)}"))
            names += [item["name"] for item in told.get("items", [])]
            page = told.get("nextPageToken", "")
            if not page:
                return names

    def get(self, path: str) -> bytes:
        """The bytes of BUCKET/NAME."""
        bucket, name = path.split("/", 1)
        return self.ask("GET", f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media")

    def put(self, path: str, content: bytes) -> None:
        """Makes BUCKET/NAME."""
        bucket, name = path.split("/", 1)
        self.ask("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={urllib.parse.quote(name, safe='')}", content)


@contextlib.contextmanager
def running() -> Iterator[FakeGcs]:
    """The server while the block runs; built before where it is not there."""
    program = subprocess.run([support.ROOT / "tools/fake_gcs.sh"], stdout=subprocess.PIPE, text=True, timeout=1800, check=True).stdout.strip()
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    url = f"http://{host}"
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        server = subprocess.Popen([program, "-scheme", "http", "-host", "127.0.0.1", "-port", host.partition(":")[2], "-backend", "memory",
                                   "-public-host", host, "-external-url", url, "-log-level", "warn"], stdout=log, stderr=log)
        try:
            fake = FakeGcs(url)
            until = time.monotonic() + 30
            while True:
                try:
                    fake.make_bucket("bkt")
                    break
                except (urllib.error.URLError, ConnectionError):
                    log.seek(0)
                    assert server.poll() is None and time.monotonic() < until, log.read()
                    time.sleep(0.05)
            yield fake
        finally:
            server.kill()
            server.wait()

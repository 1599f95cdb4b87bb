"""Makes the stubs' modules known to their tests, keeps the clients away from the user's settings, and gives a GCS stub."""

import http.client
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from started import Stub, started  # noqa: E402

for name in list(os.environ):  # a user's token or proxy must neither be sent to a stub nor change a test
    if name.lower().endswith("_proxy") or name.startswith(("HF_", "KAGGLE", "GOOGLE_", "STORAGE_EMULATOR")):
        del os.environ[name]


@dataclass
class Seen:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Client:
    """A plain client over one connection, which sends exactly what it is told."""

    def __init__(self, port: int):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, method: str, path: str, body: bytes | str | None = None, **headers: str) -> Seen:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, named)
        answer = self.connection.getresponse()
        return Seen(answer.status, answer.headers, answer.read())


@pytest.fixture
def gcs() -> Iterator[Stub]:
    with started("gcs", "--bucket", "b") as stub:
        yield stub


@pytest.fixture
def send(gcs: Stub) -> Client:
    return Client(gcs.port)

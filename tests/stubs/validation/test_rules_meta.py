"""Meta's links: no HEAD, only ranges, and not too many of them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Client, Seen
from started import Stub, started

DATA = os.urandom(5 << 20)
NAME = "Meta-Llama-3-8B/consolidated.00.pth"


@pytest.fixture
def meta(tmp_path: Path) -> Iterator[Stub]:
    (tmp_path / "Meta-Llama-3-8B").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / NAME).write_bytes(DATA)
    (tmp_path / "other/params.json").write_text("{}")
    with started("meta", "--folder", tmp_path, "--size-cap", str(4 << 20), "--family", "Meta-Llama-3-8B") as stub:
        yield stub


def ask(meta: Stub, method: str = "GET", name: str = NAME, link: str = "", **headers: str) -> Seen:
    place = urlsplit((link or meta.said["link"]).replace("*", name, 1))
    return Client(meta.port)(method, f"{place.path}?{place.query}", **headers)


def test_head_and_plain_get_are_rejected(meta: Stub):
    assert ask(meta, "HEAD").status == 403
    assert ask(meta).status == 400
    probe = ask(meta, Range="bytes=0-0")
    assert (probe.status, probe.headers["Content-Range"]) == (206, f"bytes 0-0/{len(DATA)}")


def test_too_long_a_range_is_rejected(meta: Stub):
    assert ask(meta, Range="bytes=0-").status == 400
    assert ask(meta, Range=f"bytes=0-{(4 << 20) - 1}").body == DATA[:4 << 20]


def test_link_is_used_up_by_many_ranges(meta: Stub):
    step = 2 << 20  # three downloads for each of the two caps of this file
    assert [ask(meta, Range=f"bytes=0-{step - 1}").status for _ in range(7)] == [206] * 6 + [403]
    assert json.loads(meta.control("GET", "counts"))[NAME]["downloads"] == 7
    meta.control("DELETE", "counts")
    assert ask(meta, Range=f"bytes=0-{step - 1}").status == 206


def test_expired_changed_and_foreign_links_are_denied_alike(meta: Stub):
    expired = meta.control("GET", "link?expires=-1").decode()
    encoded = meta.said["link"].replace("~", "%7F")
    for seen in (ask(meta, link=expired, Range="bytes=0-0"), ask(meta, link=encoded, Range="bytes=0-0"),
                 ask(meta, name="other/params.json", Range="bytes=0-0"), ask(meta, name="Meta-Llama-3-8B/none", Range="bytes=0-0")):
        assert seen.status == 403 and b"<Code>AccessDenied</Code>" in seen.body

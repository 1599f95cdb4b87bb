"""Rules of the Hub that its official client never breaks or does not look at."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Client, Seen
from started import Stub, started

LARGE = os.urandom(50_000)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "sub/a b.safetensors").write_bytes(LARGE)
    return folder


@pytest.fixture
def hub(model: Path) -> Iterator[Stub]:
    with started("hf", "--repo", f"org/name={model}", "--repo", f"bare={model}", "--repo", f"org/off={model}",
                 "--repo", f"org/secret={model}", "--repo", f"org/gate={model}", "--disabled", "org/off", "--private", "org/secret",
                 "--gated", "org/gate", "--renamed", "old/name=org/name", "--lfs-over", "1000", "--page-size", "1",
                 "--size-cap", "20000", "--tokens", "hf_known", "--accepted", "hf_accepted", "--narrow", "hf_narrow") as stub:
        yield stub


def at_cdn(hub: Stub, redirect: Seen, method: str = "GET", **headers: str) -> Seen:
    place = urlsplit(redirect.headers["Location"])
    assert place.hostname == "localhost" and place.port == int(hub.said["cdn"].rpartition(":")[2])
    return Client(place.port)(method, f"{place.path}?{place.query}", **headers)


def test_small_file_has_its_git_digest(hub: Stub):
    seen = Client(hub.port)("HEAD", "/org/name/resolve/main/config.json")
    assert seen.status == 200 and len(seen.headers["X-Repo-Commit"]) == 40
    assert seen.headers["ETag"] == f'"{hashlib.sha1(b"blob 2" + bytes(1) + b"{}").hexdigest()}"'


def test_large_file_is_redirected_with_its_size_and_digest(hub: Stub):
    seen = Client(hub.port)("GET", "/org/name/resolve/main/sub/a%20b.safetensors")
    assert seen.status == 302 and seen.headers["X-Linked-Size"] == "50000"
    assert seen.headers["X-Linked-ETag"] == f'"{hashlib.sha256(LARGE).hexdigest()}"'
    part = at_cdn(hub, seen, Range="bytes=10-19")
    assert (part.status, part.headers["Content-Range"], part.body) == (206, "bytes 10-19/50000", LARGE[10:20])
    assert at_cdn(hub, seen).status == 400  # above the cap without a range


def test_cdn_refuses_authorization_and_foreign_signatures(hub: Stub):
    seen = Client(hub.port)("GET", "/org/name/resolve/main/sub/a%20b.safetensors")
    assert at_cdn(hub, seen, Range="bytes=0-1", Authorization="Bearer hf_known").status == 400
    assert hub.requests()[-1]["authorization"] is True
    place = urlsplit(seen.headers["Location"])
    assert Client(place.port)("GET", f"{place.path}?{place.query.replace('Signature=', 'Signature=0')}").status == 403
    hub.faults([{"path": "^/repos/", "times": 1, "expired": True}])
    assert at_cdn(hub, seen, Range="bytes=0-1").status == 403
    assert at_cdn(hub, seen, Range="bytes=0-1").status == 206


def test_signed_addresses_expire(model: Path):
    with started("hf", "--repo", f"org/name={model}", "--lfs-over", "1000", "--url-life", "0") as hub:
        seen = Client(hub.port)("GET", "/org/name/resolve/main/sub/a%20b.safetensors")
        assert b"expired" in at_cdn(hub, seen, Range="bytes=0-1").body


def test_revisions_and_pages(hub: Stub):
    send = Client(hub.port)
    described = json.loads(send("GET", "/api/models/org/name/revision/main").body)
    assert [one["rfilename"] for one in described["siblings"]] == ["config.json", "sub/a b.safetensors"]
    sha, paths = described["sha"], []
    place: str | None = f"/api/models/org/name/tree/{sha}?recursive=true&expand=false"
    while place:
        page = send("GET", place)
        paths += [(one["type"], one["path"]) for one in json.loads(page.body)]
        link = page.headers["Link"]
        place = link and link.partition("<")[2].partition(">")[0].removeprefix(hub.url)
    assert paths == [("file", "config.json"), ("directory", "sub"), ("file", "sub/a b.safetensors")]
    assert send("GET", f"/bare/resolve/{sha}/config.json").status == 200
    assert send("GET", "/api/models/org/name/revision/refs%2Fpr%2F9").headers["X-Error-Code"] == "RevisionNotFound"
    assert send("GET", "/org/name/resolve/main/none").headers["X-Error-Code"] == "EntryNotFound"


def test_renamed_repository_redirects_on_the_same_host(hub: Stub):
    send = Client(hub.port)
    seen = send("GET", "/api/models/old/name/revision/main")
    assert (seen.status, seen.headers["Location"]) == (307, "/api/models/org/name/revision/main")
    assert send("HEAD", "/old/name/resolve/main/config.json").headers["Location"] == "/org/name/resolve/main/config.json"


@pytest.mark.parametrize(("repo", "token", "status", "code"), [
    ("org/gate", None, 401, "GatedRepo"), ("org/gate", "hf_known", 403, "GatedRepo"), ("org/gate", "hf_narrow", 403, None),
    ("org/gate", "hf_accepted", 200, None), ("org/secret", None, 401, "RepoNotFound"), ("org/secret", "hf_known", 200, None),
    ("org/none", None, 401, "RepoNotFound"), ("org/none", "hf_known", 404, "RepoNotFound"), ("org/off", None, 403, None),
    ("org/name", "hf_wrong", 401, None)])
def test_who_may_read_what(hub: Stub, repo: str, token: str | None, status: int, code: str | None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    seen = Client(hub.port)("GET", f"/{repo}/resolve/main/config.json", **headers)
    assert (seen.status, seen.headers["X-Error-Code"]) == (status, code)
    assert status == 200 or seen.headers["X-Error-Message"]


def test_rate_limit_tells_how_long(hub: Stub):
    hub.faults([{"path": "/api/", "times": 1, "rate_limit": 55}])
    seen = Client(hub.port)("GET", "/api/models/org/name/revision/main")
    assert (seen.status, seen.headers["RateLimit"]) == (429, '"api";r=0;t=55')

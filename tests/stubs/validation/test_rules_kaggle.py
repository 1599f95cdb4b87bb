"""Kaggle's REST paths, its errors, and its signed addresses."""

import base64
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conftest import Client, Seen
from started import Stub, started

HANDLE = "google/gemma/maxtext/7b-it"
REST = f"/api/v1/models/{HANDLE}"
DATA = os.urandom(5000)
BASIC = "Basic " + base64.b64encode(b"me:key").decode()


@pytest.fixture
def kaggle(tmp_path: Path) -> Iterator[Stub]:
    (tmp_path / "m/d").mkdir(parents=True)
    (tmp_path / "m/tokenizer.model").write_bytes(DATA)
    for number in range(4):
        (tmp_path / f"m/d/{number}").write_bytes(DATA[number:])
    with started("kaggle", "--model", f"{HANDLE}/2={tmp_path / 'm'}", "--model", f"{HANDLE}/3={tmp_path / 'm'}", "--user", "me:key",
                 "--user", "new:key", "--token", "KGAT_good", "--licence", HANDLE, "--without-licence", "new",
                 "--page-size", "2", "--strict-redirect") as stub:
        yield stub


def follow(seen: Seen, **headers: str) -> Seen:
    place = urlsplit(seen.headers["Location"])
    return Client(place.port)("GET", f"{place.path}?{place.query}", **headers)


def test_list_has_pages_in_both_generations(kaggle: Stub):
    send = Client(kaggle.port)
    names, token = [], ""
    while True:
        page = json.loads(send("GET", f"{REST}/2/files?page_size=25&page_token={token}", Authorization=BASIC).body)
        names += [one["name"] for one in page["files"]]
        if not (token := page["nextPageToken"]):
            break
    assert names == ["d/0", "d/1", "d/2", "d/3", "tokenizer.model"]
    body = {"ownerSlug": "google", "modelSlug": "gemma", "framework": "MODEL_FRAMEWORK_MAX_TEXT", "instanceSlug": "7b-it",
            "versionNumber": 2, "pageSize": 25}
    for before in ("/v1", "/api/v1"):
        seen = send("POST", f"{before}/models.ModelApiService/ListModelInstanceVersionFiles", json.dumps(body),
                    Authorization="Bearer KGAT_good")
        assert [one["size"] for one in json.loads(seen.body)["files"]] == [5000, 4999]


def test_file_comes_from_a_signed_address_without_credentials(kaggle: Stub):
    seen = Client(kaggle.port)("GET", f"{REST}/2/download/d/1", Authorization=BASIC)
    assert seen.status == 302 and "X-Goog-Signature=" in seen.headers["Location"]
    part = follow(seen, Range="bytes=10-")
    assert (part.status, part.body) == (206, DATA[11:])
    md5 = base64.b64encode(hashlib.md5(DATA[1:]).digest()).decode()
    assert part.headers["x-goog-hash"].endswith(f",md5={md5}") and part.headers["x-goog-hash"].startswith("crc32c=")
    assert follow(seen, Authorization=BASIC).status == 400
    kaggle.faults([{"path": "^/kaggle-models-data/", "times": 1, "expired": True}])
    assert b"ExpiredToken" in follow(seen).body
    assert follow(seen).status == 200


def test_archive_holds_all_files(kaggle: Stub):
    seen = Client(kaggle.port)("GET", f"{REST}/2/download", Authorization=BASIC)
    with tarfile.open(fileobj=io.BytesIO(follow(seen).body)) as archive:
        assert archive.getnames() == ["d/0", "d/1", "d/2", "d/3", "tokenizer.model"]


@pytest.mark.parametrize(("path", "authorization", "status", "says"), [
    (f"{REST}/2/files", "Basic bm86", 401, ""), (f"{REST}/2/files", "Bearer KGAT_bad", 401, ""), (f"{REST}/2/files", "", 401, ""),
    (f"{REST}/2/files", "Basic " + base64.b64encode(b"new:key").decode(), 403, "licence"),
    (f"{REST}/9/download", BASIC, 404, "known versions: 2, 3"), (f"{REST}x/2/files", BASIC, 404, "not found")])
def test_errors_are_json_with_a_code(kaggle: Stub, path: str, authorization: str, status: int, says: str):
    seen = Client(kaggle.port)("GET", path, **({"Authorization": authorization} if authorization else {}))
    body = json.loads(seen.body)
    assert (seen.status, body["code"]) == (status, status) and says in body["message"]


def test_newest_version_and_all_variations_are_told(kaggle: Stub):
    send = Client(kaggle.port)
    assert json.loads(send("GET", f"{REST}/get", Authorization=BASIC).body)["versionNumber"] == 3
    assert [one["slug"] for one in json.loads(send("GET", "/api/v1/models/google/gemma/get").body)["instances"]] == ["7b-it"]

"""The official Cloud Storage client works against the stub as against the service."""

import gzip
import hashlib
import io
import json
import os
from pathlib import Path

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from google.cloud.storage import transfer_manager
from google.cloud.storage.exceptions import InvalidResponse
from google.cloud.storage.transfer_manager import XMLMPUContainer, XMLMPUPart
from started import Stub, started

MIB = 1 << 20


@pytest.fixture
def bucket(gcs: Stub, monkeypatch: pytest.MonkeyPatch) -> storage.Bucket:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
    return storage.Client(project="p", credentials=AnonymousCredentials()).bucket("b")


def test_uploads_in_chunks_and_reads_back(bucket: storage.Bucket):
    data = os.urandom(700_000)
    blob = bucket.blob("a/b c#é.bin", chunk_size=256 << 10)
    blob.upload_from_file(io.BytesIO(data), size=len(data), checksum="crc32c", if_generation_match=0)
    assert blob.size == len(data)
    assert bucket.blob("a/b c#é.bin").download_as_bytes() == data
    assert bucket.blob("a/b c#é.bin").download_as_bytes(start=1000, end=300_000) == data[1000:300_001]


def test_uploads_of_unknown_size(bucket: storage.Bucket):
    data = os.urandom(512 << 10)  # a multiple of the chunk: its end is only known afterwards
    bucket.blob("unknown", chunk_size=256 << 10).upload_from_file(io.BytesIO(data))
    assert bucket.blob("unknown").download_as_bytes() == data


def test_small_upload_is_one_request(bucket: storage.Bucket, gcs: Stub):
    bucket.blob("small").upload_from_string(b"hello", checksum="crc32c")
    assert [request["status"] for request in gcs.requests() if request["method"] == "POST"] == [200]
    assert gcs.get("b/small") == b"hello"


def test_client_recovers_a_resumable_upload(bucket: storage.Bucket, gcs: Stub):
    data = os.urandom(2 * MIB)
    gcs.faults([{"method": "PUT", "skip": 1, "times": 1, "status": 503, "persist": 256 << 10}])
    blob = bucket.blob("resumed", chunk_size=MIB)
    blob.upload_from_file(io.BytesIO(data), size=len(data), if_generation_match=0)
    assert gcs.get("b/resumed") == data


def test_uploads_parts_concurrently(bucket: storage.Bucket, gcs: Stub, tmp_path: Path):
    data = os.urandom(12 * MIB + 17)
    path = tmp_path / "large"
    path.write_bytes(data)
    transfer_manager.upload_chunks_concurrently(str(path), bucket.blob("d/large"), chunk_size=5 * MIB, max_workers=3,
                                                worker_type=transfer_manager.THREAD, checksum="crc32c")
    assert gcs.get("b/d/large") == data
    blob = bucket.get_blob("d/large")
    assert blob.md5_hash is None and blob.component_count == 3


def test_uploads_outlive_their_client(bucket: storage.Bucket, gcs: Stub, tmp_path: Path):
    """Parts of two containers of the client, completed by a third one that is told of them; and its cancellation."""
    data = os.urandom(11 * MIB)
    path = str(tmp_path / "large")
    Path(path).write_bytes(data)
    url = f"{gcs.url}/b/d/large"
    upload_ids = []
    for _ in range(2):
        begun = XMLMPUContainer(url, path)
        begun.initiate(transport=bucket.client._http, content_type="application/octet-stream")
        upload_ids.append(begun.upload_id)
    parts = [(1, 0, 5 * MIB), (2, 5 * MIB, len(data)), (1, 0, 5 * MIB)]  # one of them again: the same bytes, the same ETag
    etags = []
    for number, start, end in parts:
        client = storage.Client(project="p", credentials=AnonymousCredentials())
        part = XMLMPUPart(url, upload_ids[0], path, start=start, end=end, part_number=number, checksum="crc32c")
        part.upload(client._http)
        assert part.etag.strip('"') == hashlib.md5(data[start:end]).hexdigest()
        etags.append(part.etag)
    assert etags[0] == etags[2]
    assert json.loads(gcs.control("GET", "uploads"))["multipart"] == ["d/large", "d/large"]
    assert gcs.names("b") == []
    late = [XMLMPUContainer(url, path, upload_id=upload_id, retry=None) for upload_id in (*upload_ids, upload_ids[0])]
    for container in late:
        container.register_part(1, etags[0])
        container.register_part(2, etags[1])
    late[0].finalize(bucket.client._http)
    late[1].cancel(bucket.client._http)
    assert gcs.get("b/d/large") == data
    with pytest.raises(InvalidResponse, match="404"):
        late[2].finalize(bucket.client._http)
    assert json.loads(gcs.control("GET", "uploads"))["multipart"] == []


def test_downloads_chunks_concurrently(bucket: storage.Bucket, gcs: Stub, tmp_path: Path):
    data = os.urandom(9 * MIB + 3)
    gcs.put("b/large", data)
    transfer_manager.download_chunks_concurrently(bucket.blob("large"), str(tmp_path / "got"), chunk_size=2 * MIB,
                                                  max_workers=3, worker_type=transfer_manager.THREAD)
    assert (tmp_path / "got").read_bytes() == data


def test_lists_pages_prefixes_and_empty_pages(bucket: storage.Bucket, gcs: Stub):
    names = [f"d/{number:02}" for number in range(25)] + ["d/x/1", "d/x/2", "e"]
    for name in names:
        gcs.put(f"b/{name}", b".")
    gcs.faults([{"path": "/o$", "skip": 1, "times": 2, "empty_page": True}])
    assert [blob.name for blob in bucket.client.list_blobs("b", page_size=7)] == names
    listed = bucket.client.list_blobs("b", prefix="d/", delimiter="/", page_size=10)
    assert [blob.name for blob in listed] == names[:25]
    assert listed.prefixes == {"d/x/"}


def test_composes(bucket: storage.Bucket):
    parts = [os.urandom(1000 + number) for number in range(5)]
    blobs = []
    for number, part in enumerate(parts):
        blobs.append(bucket.blob(f"part-{number}"))
        blobs[-1].upload_from_string(part)
    whole = bucket.blob("whole")
    whole.compose(blobs, if_generation_match=0)
    assert whole.component_count == 5
    assert whole.download_as_bytes(checksum="crc32c") == b"".join(parts)
    with pytest.raises(exceptions.BadRequest):
        bucket.blob("too-many").compose(blobs * 7)


def test_rewrites_in_several_calls(bucket: storage.Bucket, gcs: Stub):
    data = os.urandom(3 * MIB)
    gcs.put("b/from", data)
    gcs.faults([{"path": "/rewriteTo/", "times": 2, "rewrite_more": True}])
    source, copy = bucket.blob("from"), bucket.blob("to")
    token, calls = None, 0
    while calls == 0 or token is not None:
        token, _, total = copy.rewrite(source, token=token, if_generation_match=0)
        calls += 1
    assert (calls, total) == (3, len(data))
    assert gcs.get("b/to") == data


def test_deletes_and_keeps_preconditions(bucket: storage.Bucket):
    blob = bucket.blob("once")
    blob.upload_from_string(b"1", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("once").upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        blob.delete(if_generation_match=blob.generation + 1)
    with pytest.raises(exceptions.NotFound):
        bucket.blob("once", generation=blob.generation + 1).download_as_bytes()
    blob.delete(if_generation_match=blob.generation)
    assert not blob.exists()
    with pytest.raises(exceptions.NotFound):
        blob.delete()


def test_gzip_objects_are_unpacked_or_not(bucket: storage.Bucket):
    blob = bucket.blob("packed")
    blob.content_encoding = "gzip"
    packed = gzip.compress(b"text " * 1000)
    blob.upload_from_string(packed)
    assert blob.download_as_bytes() == b"text " * 1000
    assert blob.download_as_bytes(raw_download=True) == packed


def test_requester_pays(monkeypatch: pytest.MonkeyPatch):
    with started("gcs", "--requester-pays", "paid") as stub:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
        stub.put("paid/x", b"bytes")
        client = storage.Client(project="p", credentials=AnonymousCredentials())
        with pytest.raises(exceptions.BadRequest, match="requester pays"):
            client.bucket("paid").blob("x").download_as_bytes()
        assert client.bucket("paid", user_project="payer").blob("x").download_as_bytes() == b"bytes"


def test_folder_objects_and_uploads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "b/d").mkdir(parents=True)
    (tmp_path / "b/d/x").write_bytes(b"there")
    with started("gcs", "--folder", tmp_path) as stub:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", stub.url)
        bucket = storage.Client(project="p", credentials=AnonymousCredentials()).bucket("b")
        assert bucket.blob("d/x").download_as_bytes() == b"there"
        data = os.urandom(11 * MIB)
        (tmp_path / "source").write_bytes(data)
        transfer_manager.upload_chunks_concurrently(str(tmp_path / "source"), bucket.blob("d/y"), chunk_size=5 * MIB,
                                                    worker_type=transfer_manager.THREAD)
        assert (tmp_path / "b/d/y").read_bytes() == data
        bucket.blob("d/x").delete()
        assert not (tmp_path / "b/d/x").exists()
        assert [blob.name for blob in bucket.list_blobs()] == ["d/y"]

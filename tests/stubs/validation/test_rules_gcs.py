"""Rules of Cloud Storage that its official client never breaks, so that only a plain client can see them kept."""

import base64
import concurrent.futures
import copy
import gzip
import hashlib
import json
import os
import re
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import crc32c
import pytest
from conftest import Client, Seen
from started import Stub, started

QUANTUM = 256 << 10
MIB = 1 << 20
BEGIN = "/upload/storage/v1/b/b/o?uploadType=resumable"


def session(send: Client, name: str = "x", more: str = "", resource: str = "{}", **headers: str) -> str:
    begun = send("POST", f"{BEGIN}&name={quote(name, safe='')}{more}", resource, **headers)
    assert begun.status == 200, begun.body
    place = urlsplit(begun.headers["Location"])
    return f"{place.path}?{place.query}"


def chunk(send: Client, place: str, data: bytes, begin: int, total: int | str = "*") -> Seen:
    return send("PUT", place, data, Content_Range=f"bytes {begin}-{begin + len(data) - 1}/{total}")


def status(send: Client, place: str, total: int | str = "*") -> Seen:
    return send("PUT", place, b"", Content_Range=f"bytes */{total}")


def multipart(send: Client, resource: dict, data: bytes, query: str = "") -> Seen:
    body = (b"--B\r\nContent-Type: application/json\r\n\r\n" + json.dumps(resource).encode()
            + b"\r\n--B\r\nContent-Type: a/b\r\n\r\n" + data + b"\r\n--B--\r\n")
    return send("POST", f"/upload/storage/v1/b/b/o?uploadType=multipart{query}", body, Content_Type="multipart/related; boundary=B")


def code(answer: Seen) -> str:
    return re.search(rb"<Code>(\w+)</Code>", answer.body)[1].decode()


def generation(answer: Seen) -> str:
    return json.loads(answer.body)["generation"]


def test_crc32c_check_value_and_combination():
    data = os.urandom(1_300_001)
    assert crc32c.crc32c(b"123456789") == 0xE3069283
    assert crc32c.encode(0xE3069283) == "4waSgw=="
    assert crc32c.combine(crc32c.crc32c(data[:777]), crc32c.crc32c(data[777:]), len(data) - 777) == crc32c.crc32c(data)
    assert crc32c.crc32c(data[777:], crc32c.crc32c(data[:777])) == crc32c.crc32c(data)
    assert crc32c.of_zeros(100_000) == crc32c.crc32c(bytes(100_000))


def test_the_librarys_crc32c_is_that_of_the_tables():
    assert crc32c.LIBRARY is not None, "isa-l is not there: checks are slow"
    for size in (0, 1, 255, 256, 257, 1_300_001):
        data = os.urandom(size)
        assert crc32c.crc32c(data, 7) == crc32c.in_python(data, 7)


def test_chunks_are_multiples_of_256_kib_except_the_last(send: Client):
    place = session(send)
    assert chunk(send, place, bytes(QUANTUM + 1), 0).status == 400
    assert chunk(send, place, bytes(QUANTUM), 0).headers["Range"] == f"bytes=0-{QUANTUM - 1}"
    assert chunk(send, place, b"end", QUANTUM, QUANTUM + 3).status == 200


def test_status_query_does_not_end_an_upload(send: Client):
    place = session(send)
    assert status(send, place).status == 308
    assert status(send, place).headers["Range"] is None
    chunk(send, place, bytes(QUANTUM), 0)
    for total in ("*", 2 * QUANTUM):
        asked = status(send, place, total)
        assert (asked.status, asked.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    assert chunk(send, place, bytes(QUANTUM), QUANTUM, 2 * QUANTUM).status == 200
    assert json.loads(status(send, place).body)["size"] == str(2 * QUANTUM)


def test_total_that_is_known_afterwards_ends_the_upload(send: Client):
    place = session(send)
    assert chunk(send, place, bytes(QUANTUM), 0).status == 308
    assert status(send, place, QUANTUM).status == 200


def test_empty_object_by_a_session(send: Client, gcs: Stub):
    assert status(send, session(send), 0).status == 200
    assert gcs.get("b/x") == b""


def test_bytes_sent_again_are_skipped(send: Client, gcs: Stub):
    data = os.urandom(3 * QUANTUM + 5)
    place = session(send)
    chunk(send, place, data[:2 * QUANTUM], 0)
    assert chunk(send, place, data[QUANTUM:], QUANTUM, len(data)).status == 200
    assert gcs.get("b/x") == data


def test_gap_is_refused_and_nothing_is_lost(send: Client):
    place = session(send)
    chunk(send, place, bytes(QUANTUM), 0)
    assert chunk(send, place, bytes(QUANTUM), 2 * QUANTUM).status == 503
    assert status(send, place).headers["Range"] == f"bytes=0-{QUANTUM - 1}"


def test_partial_acceptance(send: Client, gcs: Stub):
    data = os.urandom(2 * QUANTUM)
    place = session(send)
    gcs.faults([{"method": "PUT", "times": 1, "persist": QUANTUM}])
    answer = chunk(send, place, data, 0, len(data))
    assert (answer.status, answer.headers["Range"]) == (308, f"bytes=0-{QUANTUM - 1}")
    assert chunk(send, place, data[QUANTUM:], QUANTUM, len(data)).status == 200
    assert gcs.get("b/x") == data


def test_cut_upload_keeps_whole_quanta(gcs: Stub):
    data = os.urandom(4 * QUANTUM)
    place = session(Client(gcs.port))
    gcs.faults([{"method": "PUT", "times": 1, "cut_upload_after": 2 * QUANTUM + 99}])
    with pytest.raises((ConnectionError, OSError)):
        chunk(Client(gcs.port), place, data, 0, len(data))
    assert status(Client(gcs.port), place).headers["Range"] == f"bytes=0-{2 * QUANTUM - 1}"
    assert chunk(Client(gcs.port), place, data[2 * QUANTUM:], 2 * QUANTUM, len(data)).status == 200
    assert gcs.get("b/x") == data


def test_answer_that_is_lost_after_the_object_was_made(gcs: Stub):
    place = session(Client(gcs.port), more="&ifGenerationMatch=0")
    gcs.faults([{"method": "PUT", "times": 1, "status": 503, "carried_out": True}])
    assert chunk(Client(gcs.port), place, b"abc", 0, 3).status == 503
    assert status(Client(gcs.port), place).status == 200


def test_chunked_body_without_a_content_range(send: Client, gcs: Stub):
    place = session(send)
    send.connection.request("PUT", place, iter([b"abc", b"defg"]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert send.connection.getresponse().read() and gcs.get("b/x") == b"abcdefg"


def test_cancelled_session_answers_499(send: Client, gcs: Stub):
    place = session(send)
    assert send("DELETE", place).status == 499
    assert status(send, place).status == 499
    assert json.loads(gcs.control("GET", "uploads")) == {"resumable": [], "multipart": []}
    assert send("PUT", place.split("upload_id=")[0] + "upload_id=none", b"").status == 404


def test_preconditions_at_the_start_and_at_the_end(send: Client, gcs: Stub):
    first, second = session(send, more="&ifGenerationMatch=0"), session(send, more="&ifGenerationMatch=0")
    assert chunk(send, first, b"1", 0, 1).status == 200
    assert chunk(send, second, b"2", 0, 1).status == 412
    assert send("POST", f"{BEGIN}&name=x&ifGenerationMatch=0", "{}").status == 412
    assert gcs.get("b/x") == b"1"


def test_checksums_of_uploads(send: Client, gcs: Stub):
    right = crc32c.encode(crc32c.crc32c(b"data"))
    assert multipart(send, {"name": "m", "crc32c": "AAAAAA=="}, b"data").status == 400
    assert gcs.names("b") == []
    assert json.loads(multipart(send, {"name": "m", "crc32c": right}, b"data").body)["crc32c"] == right
    place = session(send, resource='{"crc32c": "AAAAAA=="}')
    assert chunk(send, place, b"data", 0, 4).status == 400
    assert send("PUT", "/b/y", b"data", x_goog_hash="crc32c=AAAAAA==").status == 400
    assert send("PUT", "/b/y", b"data", x_goog_hash=f"crc32c={right}").status == 200
    assert gcs.names("b") == ["m", "y"]


def test_declared_size_is_kept(send: Client):
    place = session(send, X_Upload_Content_Length="10")
    assert chunk(send, place, b"abc", 0, 3).status == 400


def test_ranges_and_hashes(send: Client, gcs: Stub):
    gcs.put("b/d/x", bytes(range(100)))
    place = "/storage/v1/b/b/o/d%2Fx?alt=media"
    for text, begin, end in (("bytes=0-0", 0, 1), ("bytes=90-200", 90, 100), ("bytes=10-", 10, 100), ("bytes=-7", 93, 100)):
        answer = send("GET", place, Range=text)
        assert (answer.status, answer.headers["Content-Range"]) == (206, f"bytes {begin}-{end - 1}/100")
        assert answer.body == bytes(range(100))[begin:end]
        assert f"crc32c={crc32c.encode(crc32c.crc32c(bytes(range(100))))}" in answer.headers.get_all("x-goog-hash")
    assert send("GET", place, Range="bytes=100-").status == 416
    for path in ("/b/d/x", "/b/d%2Fx", "/download" + place):
        assert send("GET", path).body == bytes(range(100))
    assert send("HEAD", "/b/d/x").headers["Content-Length"] == "100"


def test_generation_pins(send: Client, gcs: Stub):
    old = generation(multipart(send, {"name": "x"}, b"old"))
    gcs.faults([{"path": "/o/x", "skip": 1, "times": 1, "change_object": "b/x"}])
    assert send("GET", f"/storage/v1/b/b/o/x?alt=media&generation={old}").status == 200
    assert send("GET", f"/storage/v1/b/b/o/x?alt=media&generation={old}").status == 404
    assert send("GET", f"/b/x?generation={old}").status == 404
    assert send("GET", f"/storage/v1/b/b/o/x?ifGenerationMatch={old}").status == 412
    assert send("DELETE", f"/storage/v1/b/b/o/x?ifGenerationMatch={old}").status == 412
    assert generation(send("GET", "/storage/v1/b/b/o/x")) != old


def test_fields_are_a_mask(send: Client, gcs: Stub):
    gcs.put("b/x", b"1")
    listed = json.loads(send("GET", "/storage/v1/b/b/o?fields=prefixes,nextPageToken,items(name,size)").body)
    assert listed == {"items": [{"name": "x", "size": "1"}]}
    assert json.loads(send("GET", "/storage/v1/b/b/o/x?fields=size").body) == {"size": "1"}


def test_folder_markers_and_pages(gcs: Stub, send: Client):
    for name in ("d/", "d/a", "d/b/", "d/b/c"):
        gcs.put(f"b/{name}", b"" if name.endswith("/") else b".")
    listed = json.loads(send("GET", "/storage/v1/b/b/o?prefix=d/&delimiter=/").body)
    assert ([one["name"] for one in listed["items"]], listed["prefixes"]) == (["d/", "d/a"], ["d/b/"])
    page = json.loads(send("GET", "/storage/v1/b/b/o?prefix=d/&delimiter=/&maxResults=2").body)
    rest = json.loads(send("GET", f"/storage/v1/b/b/o?prefix=d/&delimiter=/&pageToken={page['nextPageToken']}").body)
    assert rest == {"kind": "storage#objects", "prefixes": ["d/b/"]}


def test_gzip_objects_ignore_ranges_when_unpacked(send: Client, gcs: Stub):
    packed = gzip.compress(b"text" * 100)
    gcs.put("b/x", packed, Content_Encoding="gzip")
    assert json.loads(send("GET", "/storage/v1/b/b/o/x").body)["contentEncoding"] == "gzip"
    unpacked = send("GET", "/b/x", Range="bytes=0-3", Accept_Encoding="identity")
    assert (unpacked.status, unpacked.body) == (200, b"text" * 100)
    kept = send("GET", "/b/x", Range="bytes=0-3", Accept_Encoding="gzip")
    assert (kept.status, kept.body) == (206, packed[:4])


def test_compose_pins_its_sources(send: Client, gcs: Stub):
    made = generation(multipart(send, {"name": "p"}, b"1"))
    place = "/storage/v1/b/b/o/whole/compose"
    wrong = {"sourceObjects": [{"name": "p", "generation": str(int(made) + 1)}]}
    assert send("POST", place, json.dumps(wrong)).status == 404
    assert send("POST", place, json.dumps({"sourceObjects": [{"name": "p"}] * 33})).status == 400
    assert send("POST", place, json.dumps({"sourceObjects": [{"name": "p", "generation": made}] * 2})).status == 200
    assert send("POST", place + "?ifGenerationMatch=0", json.dumps({"sourceObjects": [{"name": "p"}]})).status == 412
    assert gcs.get("b/whole") == b"11"


class XmlUpload:
    """An XML multipart upload under way."""

    def __init__(self, send: Client, path: str = "/b/d/x"):
        self.send, self.path = send, path
        begun = send("POST", f"{path}?uploads", b"", Content_Length="0")
        self.key = re.search(rb"<UploadId>(.+?)</UploadId>", begun.body)[1].decode()

    def part(self, number: int | str, data: bytes, **headers: str) -> Seen:
        return self.send("PUT", f"{self.path}?partNumber={number}&uploadId={self.key}", data, **headers)

    def complete(self, parts: list[tuple[int, str]]) -> Seen:
        named = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
        return self.send("POST", f"{self.path}?uploadId={self.key}", f"<CompleteMultipartUpload>{named}</CompleteMultipartUpload>")


def test_parts_in_any_order_and_sparse_numbers(send: Client, gcs: Stub):
    upload = XmlUpload(send)
    parts = {7: os.urandom(5 * MIB), 10_000: b"end", 2: os.urandom(5 * MIB)}
    etags = {}
    for number, data in parts.items():
        sent = upload.part(number, data, x_goog_hash=f"crc32c={crc32c.encode(crc32c.crc32c(data))}")
        etags[number] = sent.headers["ETag"]
    assert b"<PartNumber>7</PartNumber>" in send("GET", f"/b/d/x?uploadId={upload.key}").body
    assert upload.key.encode() in send("GET", "/b?uploads").body
    assert gcs.names("b") == []
    done = upload.complete(sorted(etags.items()))
    whole = parts[2] + parts[7] + parts[10_000]
    assert done.status == 200 and b"<CompleteMultipartUploadResult" in done.body
    assert gcs.get("b/d/x") == whole
    told = json.loads(send("GET", "/storage/v1/b/b/o/d%2Fx").body)
    assert told["crc32c"] == crc32c.encode(crc32c.crc32c(whole)) and "md5Hash" not in told


def marker(answer: Seen, name: str) -> str | None:
    found = re.search(f"<{name}>(.*?)</{name}>".encode(), answer.body)
    return found and found[1].decode()


def test_uploads_and_parts_are_listed_in_pages(send: Client):
    keys = [(name, XmlUpload(send, f"/b/{quote(name)}").key) for name in ("d/a b&c", "d/a b&c", "d/a b&c", "d/z", "e")]
    keys = sorted(keys[:4])
    seen, following = [], ""
    for count in (2, 2):
        page = send("GET", f"/b/?uploads&prefix=d/&max-uploads=2{following}")
        found = re.findall(rb"<Key>(.+?)</Key><UploadId>(.+?)</UploadId>", page.body)
        assert len(found) == count
        seen += [(name.decode().replace("&amp;", "&"), key.decode()) for name, key in found]
        if marker(page, "IsTruncated") == "true":
            following = f"&key-marker={quote(seen[-1][0])}&upload-id-marker={marker(page, 'NextUploadIdMarker')}"
            assert marker(page, "NextKeyMarker") == "d/a b&amp;c"
    assert seen == keys and marker(page, "IsTruncated") == "false" and marker(page, "NextKeyMarker") is None
    # A name alone: its uploads are left out; an identifier alone is ignored.
    assert b"d/a" not in send("GET", "/b?uploads&key-marker=d/a%20b%26c").body
    assert send("GET", f"/b?uploads&upload-id-marker={keys[3][1]}").body.count(b"<Key>") == 5
    encoded = send("GET", "/b?uploads&encoding-type=url").body
    assert b"<EncodingType>url</EncodingType>" in encoded and b"<Key>d/a%20b%26c</Key>" in encoded
    assert send("GET", "/b?uploads&max-uploads=0").status == 400

    upload = XmlUpload(send)
    for number in (3, 1, 2):
        upload.part(number, b"part")
    first = send("GET", f"/b/d/x?uploadId={upload.key}&max-parts=2")
    assert re.findall(rb"<PartNumber>(\d)</PartNumber>", first.body) == [b"1", b"2"]
    assert (marker(first, "IsTruncated"), marker(first, "NextPartNumberMarker")) == ("true", "2")
    rest = send("GET", f"/b/d/x?uploadId={upload.key}&max-parts=2&part-number-marker=2")
    assert re.findall(rb"<PartNumber>(\d)</PartNumber>", rest.body) == [b"3"] and marker(rest, "IsTruncated") == "false"


def test_an_ended_upload_is_gone_for_every_request(send: Client, gcs: Stub):
    for is_completed in (True, False):
        upload = XmlUpload(send)
        etag = upload.part(1, b"only").headers["ETag"]
        assert upload.part(1, b"only").headers["ETag"] == etag == f'"{hashlib.md5(b"only").hexdigest()}"'
        assert upload.part(1, b"other").headers["ETag"] != etag  # the last one wins
        assert code(upload.complete([(1, etag)])) == "InvalidPart"
        upload.part(1, b"only")
        if is_completed:
            assert upload.complete([(1, etag)]).status == 200
        else:
            assert send("DELETE", f"/b/d/x?uploadId={upload.key}").status == 204
        for answer in (upload.part(1, b"only"), upload.complete([(1, etag)]), send("GET", f"/b/d/x?uploadId={upload.key}"),
                       send("DELETE", f"/b/d/x?uploadId={upload.key}")):
            assert (answer.status, code(answer)) == (404, "NoSuchUpload")
        assert upload.key.encode() not in send("GET", "/b?uploads").body
    assert gcs.get("b/d/x") == b"only"


def test_one_of_many_completions_at_once_wins(gcs: Stub):
    upload = XmlUpload(Client(gcs.port))
    etag = upload.part(1, os.urandom(MIB)).headers["ETag"]
    others = []
    for _ in range(8):
        one = copy.copy(upload)
        one.send = Client(gcs.port)
        others.append(one)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda one: one.complete([(1, etag)]).status, others))
    assert sorted(answers) == [200] + [404] * 7


def test_xml_upload_refusals(send: Client, gcs: Stub):
    upload = XmlUpload(send)
    assert code(upload.part(0, b"1")) == code(upload.part(10_001, b"1")) == code(upload.part("a", b"1")) == "InvalidArgument"
    assert code(upload.part(1, b"1", x_goog_hash="crc32c=AAAAAA==")) == "BadDigest"
    small = upload.part(1, b"small").headers["ETag"]
    last = upload.part(2, b"last").headers["ETag"]
    assert code(upload.complete([(1, small), (2, last)])) == "EntityTooSmall"
    assert code(upload.complete([(2, last), (1, small)])) == "InvalidPartOrder"
    assert code(upload.complete([(1, '"00"')])) == "InvalidPart"
    assert code(upload.complete([])) == "MalformedXML"
    assert code(send("POST", "/b/z?uploads", b"", x_goog_if_generation_match="0")) == "InvalidArgument"
    assert send("DELETE", f"/b/d/x?uploadId={upload.key}").status == 204
    assert code(upload.part(1, b"1")) == "NoSuchUpload"
    assert gcs.names("b") == []


def test_completion_that_answers_200_with_an_error(send: Client, gcs: Stub):
    upload = XmlUpload(send)
    etag = upload.part(1, b"only").headers["ETag"]
    gcs.faults([{"method": "POST", "query": "uploadId", "times": 1, "complete_error": True}])
    failed = upload.complete([(1, etag)])
    assert (failed.status, code(failed)) == (200, "InternalError")
    assert gcs.names("b") == []
    assert b"<Error>" not in upload.complete([(1, etag)]).body
    assert gcs.get("b/d/x") == b"only"


def test_tokens_permissions_and_buckets():
    permissions = {"reader": ["storage.objects.get", "storage.objects.list"]}
    with started("gcs", "--bucket", "b", "--tokens", "good,reader", "--permissions", json.dumps(permissions)) as stub:
        send = Client(stub.port)
        assert send("GET", "/storage/v1/b/b/o").status == 401
        assert send("GET", "/storage/v1/b/b/o", Authorization="Bearer bad").status == 401
        assert send("GET", "/storage/v1/b/b/o", Authorization="Bearer good").status == 200
        denied = send("POST", f"{BEGIN}&name=x", "{}", Authorization="Bearer reader")
        assert denied.status == 403 and "storage.objects.create" in json.loads(denied.body)["error"]["message"]
        xml = send("POST", "/b/x?uploads", b"", Authorization="Bearer reader", Content_Length="0")
        assert (xml.status, code(xml)) == (403, "AccessDenied") and b"storage.multipartUploads.create" in xml.body
        missing = send("GET", "/storage/v1/b/none/o", Authorization="Bearer good")
        assert missing.status == 404 and b"bucket does not exist" in missing.body
        begun = send("POST", f"{BEGIN}&name=x", "{}", Authorization="Bearer good")
        place = urlsplit(begun.headers["Location"])
        assert chunk(send, f"{place.path}?{place.query}", b"1", 0, 1).status == 200  # a session needs no token
        assert "good" not in json.dumps([request["authorization_sha256"] for request in stub.requests()])
        stub.control("DELETE", "tokens/good")
        assert send("GET", "/storage/v1/b/b/o", Authorization="Bearer good").status == 401


def test_tokens_file_is_read_again(tmp_path: Path):
    tokens = tmp_path / "tokens"
    tokens.write_text("one\n")
    with started("gcs", "--bucket", "b", "--tokens", tokens) as stub:
        send = Client(stub.port)
        assert send("GET", "/storage/v1/b/b/o", Authorization="Bearer two").status == 401
        tokens.write_text("one\ntwo\n")
        assert send("GET", "/storage/v1/b/b/o", Authorization="Bearer two").status == 200


def test_sparse_files_are_served_without_loading_them(tmp_path: Path):
    (tmp_path / "b").mkdir()
    with open(tmp_path / "b/huge", "wb") as file:
        file.write(b"begin")
        file.truncate(1 << 40)
        file.seek((1 << 40) - 3)
        file.write(b"end")
    with started("gcs", "--folder", tmp_path) as stub:
        send = Client(stub.port)
        began = time.monotonic()
        assert json.loads(send("GET", "/storage/v1/b/b/o/huge").body)["size"] == str(1 << 40)
        assert send("GET", "/b/huge", Range=f"bytes={(1 << 40) - 4}-").body == b"\0end"
        assert len(send("GET", "/b/huge", Range=f"bytes=0-{100 * MIB - 1}").body) == 100 * MIB
        assert time.monotonic() - began < 20


def test_base64_of_crc_is_big_endian():
    assert base64.b64decode(crc32c.encode(1)) == b"\0\0\0\1"

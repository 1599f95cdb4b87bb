"""The gcs stub's JSON uploads: media, multipart/related, and resumable sessions with their recovery."""

import base64
import itertools
import json
import os
import re
import threading
import urllib.parse
from dataclasses import dataclass, field, replace

import crc32c
from gcs_access import JSON, PRECONDITIONS, Access, json_error
from gcs_store import Object, Spool
from service import Answer, BodyCut, Refused, Request, text_answer

QUANTUM = 256 << 10  # of a resumable upload's chunks
LARGEST_OBJECT = 5 << 40


@dataclass
class Session:
    """A resumable upload."""

    bucket: str
    name: str
    resource: dict
    preconditions: dict
    total: int | None
    spool: Spool
    lock: threading.Lock = field(default_factory=threading.Lock)
    finished: Object | None = None
    refused: Answer | None = None  # what its end was, where that was no object
    is_cancelled: bool = False

    def copy(self) -> "Session":
        return replace(self, spool=self.spool.copy(), lock=threading.Lock())


class Uploads(Access):
    """Answers what is sent to /upload/."""

    def __init__(self, *access):
        super().__init__(*access)
        self.sessions: dict[str, Session] = {}
        self._session_ids = itertools.count(1)

    def upload(self, request: Request, bucket: str) -> Answer:
        given = request.parameters
        if "upload_id" in given:
            return self.session(request, given["upload_id"])
        if request.method != "POST":
            return json_error(405, "methodNotAllowed", "Method not allowed.")
        self.admit(request, JSON, bucket, "storage.objects.create")
        match given.get("uploadType"):
            case "media":
                if not given.get("name"):
                    return json_error(400, "required", "Required parameter: name")
                resource = {"name": given["name"], "contentType": request.headers.get("Content-Type"),
                            **self.hash_header(request)}
                return self._insert(request, bucket, resource, request.pieces())
            case "multipart":
                resource, data = self._related(request)
                return self._insert(request, bucket, {"name": given.get("name"), **resource}, [data])
            case "resumable":
                return self._begin_session(request, bucket)
        return json_error(400, "invalid", f"Unsupported uploadType {given.get('uploadType')}")

    def _insert(self, request: Request, bucket: str, resource: dict, pieces) -> Answer:
        if not resource.get("name"):
            return json_error(400, "required", "Required parameter: name")
        self.check(JSON, self.store.find(bucket, resource["name"]), request.parameters)
        spool = self.store.spool()
        try:
            for piece in pieces:
                spool.append(piece)
            made = self._commit(bucket, resource, spool, request.parameters)
        except BaseException:
            spool.discard()
            raise
        return self.shown(request, bucket, made)

    def _commit(self, bucket: str, resource: dict, spool: Spool, preconditions: dict) -> Object:
        """Checks what was promised of the bytes, and the preconditions once more, and makes the object."""
        for key, promised, actual in (("crc32c", resource.get("crc32c"), crc32c.encode(spool.crc)),
                                      ("md5Hash", resource.get("md5Hash"), base64.b64encode(spool.md5()).decode())):
            if promised and promised != actual:
                kind = "CRC32C" if key == "crc32c" else "MD5"
                raise Refused(json_error(400, "invalid", f'Provided {kind} hash "{promised}" doesn\'t match calculated '
                                                         f'{kind} hash "{actual}".'))
        name = resource["name"]
        if len(name.encode()) > 1024 or "\n" in name or "\r" in name or name in (".", ".."):
            raise Refused(json_error(400, "invalid", f"Invalid object name: {name}"))
        with self.store.lock:
            self.check(JSON, self.store.find(bucket, name), preconditions)
            return self.store.write(bucket, name, spool.finish(), resource)

    @staticmethod
    def _related(request: Request) -> tuple[dict, bytes]:
        """The two parts of a multipart/related body: the metadata and the bytes."""
        kind = request.headers.get("Content-Type", "")
        match = re.match(r'multipart/related\s*;.*boundary="?([^";]+)"?', kind)
        bad = Refused(json_error(400, "badContent", "Malformed multipart body."))
        if not match:
            raise bad
        border = b"--" + match[1].encode()
        body = request.all()
        parts = (b"\r\n" + body).split(b"\r\n" + border)
        if len(parts) != 4 or not parts[3].startswith(b"--"):
            raise bad
        try:
            (_, described), (headers, data) = (part.removeprefix(b"\r\n").split(b"\r\n\r\n", 1) for part in parts[1:3])
            resource = json.loads(described)
        except ValueError:
            raise bad from None
        typed = re.search(rb"(?im)^content-type:\s*(\S+)", headers)
        if typed and "contentType" not in resource:
            resource["contentType"] = typed[1].decode()
        return resource, data

    def _begin_session(self, request: Request, bucket: str) -> Answer:
        resource = request.json()
        given = request.parameters
        resource = {**resource, "name": resource.get("name") or given.get("name")}
        if not resource["name"]:
            return json_error(400, "required", "Required parameter: name")
        resource.setdefault("contentType", request.headers.get("X-Upload-Content-Type"))
        total = request.headers.get("X-Upload-Content-Length")
        conditions = {name: given[name] for name in PRECONDITIONS if name in given}
        self.check(JSON, self.store.find(bucket, resource["name"]), conditions)
        key = f"stub-{next(self._session_ids)}-{os.urandom(16).hex()}"
        self.sessions[key] = Session(bucket, resource["name"], resource, conditions, int(total) if total else None,
                                     self.store.spool())
        place = (f"{self.base(request)}/upload/storage/v1/b/{urllib.parse.quote(bucket)}/o?uploadType=resumable"
                 f"&name={urllib.parse.quote(resource['name'], safe='')}&upload_id={key}")
        return Answer(200, [("Location", place), ("X-GUploader-UploadID", key)])

    def session(self, request: Request, key: str) -> Answer:
        """A request to a session's address: it needs no token, whoever knows the address may write."""
        session = self.sessions.get(key)
        if session is None or request.fault.get("session_gone"):
            self.sessions.pop(key, None)
            return text_answer("Not Found", 404 if not request.fault.get("session_gone") else request.fault["session_gone"])
        with session.lock:
            if request.method == "DELETE":
                session.is_cancelled = True
                session.spool.discard()
                return Answer(499)
            if request.method not in ("PUT", "POST"):
                return json_error(405, "methodNotAllowed", "Method not allowed.")
            if session.is_cancelled:
                return Answer(499)
            if session.refused:
                return session.refused
            if session.finished:
                return self.shown(request, session.bucket, session.finished)
            return self._chunk(request, session)

    def _chunk(self, request: Request, session: Session) -> Answer:
        text = request.headers.get("Content-Range")
        length = request.headers.get("Content-Length")
        if text is None:  # the whole object in one request
            begin, end, total = 0, None, None
        elif match := re.fullmatch(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", text.strip()):
            total = None if match[3] == "*" else int(match[3])
            begin, end = (int(match[1]), int(match[2]) + 1) if match[1] else (None, None)
        else:
            return text_answer(f"Failed to parse Content-Range header: {text}", 400)
        if total is not None and session.total is not None and total != session.total:
            return text_answer(f"Invalid request. The total is {session.total}, not {total} bytes.", 400)
        if begin is None:
            if length not in (None, "0"):
                return text_answer("A status query has no body.", 400)
            # "*/TOTAL" with all bytes here is the end of an upload whose size was only now known.
            if total is not None and session.spool.size == total:
                return self._finish(request, session)
            return self._incomplete(session)
        if end is not None:
            if end <= begin or length is not None and int(length) != end - begin:
                return text_answer(f"Content-Range {text} does not fit a body of {length} bytes.", 400)
            if total is not None and end > total:
                return text_answer(f"Content-Range {text} ends behind the total.", 400)
            if end != total and (end - begin) % QUANTUM:
                return text_answer(f"Invalid request. The number of bytes uploaded ({end - begin}) must be a multiple of "
                                   f"{QUANTUM}, except for the last.", 400)
        persisted = session.spool.size
        if begin > persisted:
            return text_answer(f"Invalid request.  According to the Content-Range header, the upload offset is {begin} byte(s), "
                               f"which exceeds already uploaded size of {persisted} byte(s).", 503)
        if total is not None:
            session.total = total
        if not self._take(request, session, begin):
            return self._incomplete(session)
        if end is None or session.spool.size == session.total and end == session.total:
            return self._finish(request, session, self.hash_header(request))
        return self._incomplete(session)

    def _take(self, request: Request, session: Session, at: int) -> bool:
        """Stores the body's new bytes, whole quanta of a body that breaks off. False where a fault kept fewer than were sent."""
        limit = session.spool.size + request.fault["persist"] if "persist" in request.fault else LARGEST_OBJECT
        while True:
            try:
                piece = request.read(QUANTUM * 8)
            except BodyCut as cut:
                whole = (at + len(cut.partial)) // QUANTUM * QUANTUM - at
                self._store(session, cut.partial[:max(0, whole)], at, limit)
                raise
            if not piece:
                return session.spool.size < limit
            self._store(session, piece, at, limit)
            at += len(piece)

    @staticmethod
    def _store(session: Session, piece: bytes, at: int, limit: int) -> None:
        fresh = piece[session.spool.size - at:limit - at] if at < limit else b""
        if fresh:
            session.spool.append(fresh)

    @staticmethod
    def _incomplete(session: Session) -> Answer:
        size = session.spool.size
        return Answer(308, [("Range", f"bytes=0-{size - 1}")] if size else [])

    def _finish(self, request: Request, session: Session, promised: dict | None = None) -> Answer:
        declared = session.total
        if declared is not None and session.spool.size != declared:
            return text_answer(f"Invalid request. {session.spool.size} of {declared} bytes were sent.", 400)
        try:
            session.finished = self._commit(session.bucket, {**session.resource, **(promised or {})}, session.spool,
                                            session.preconditions)
        except Refused as refused:
            session.refused = refused.answer
            session.spool.discard()
            raise
        return self.shown(request, session.bucket, session.finished)

"""What the gcs stub's two APIs share: who may do what, preconditions, errors, and an object's bytes."""

import gzip
import json
import os
import re
from html import escape as escape_html

from fields import masked
from gcs_store import Object, Store
from service import Answer, Refused, Request, Service, json_answer, ranged, text_answer

PRECONDITIONS = ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch")


def json_error(status: int, reason: str, message: str, *headers: tuple[str, str]) -> Answer:
    error = {"message": message, "domain": "global", "reason": reason}
    return json_answer({"error": {"code": status, "message": message, "errors": [error]}}, status, *headers)


def escape(text: str) -> str:
    """For XML's text. (xml.sax.saxutils brings an HTTP client and a mail parser with it: a third of a stub's start.)"""
    return escape_html(text, quote=False)


def xml_error(status: int, code: str, message: str, details: str = "") -> Answer:
    detail = f"<Details>{escape(details)}</Details>" if details else ""
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{escape(message)}</Message>{detail}</Error>"
    return text_answer(body, status, kind="application/xml; charset=UTF-8")


class Caller:
    """Which of the two APIs a request speaks: the same errors look different in each."""

    def __init__(self, is_xml: bool):
        self.is_xml = is_xml

    def error(self, status: int, reason: str, message: str, code: str) -> Refused:
        return Refused(xml_error(status, code, message) if self.is_xml else json_error(status, reason, message))


JSON, XML = Caller(False), Caller(True)


class Tokens:
    """The bearer tokens that are accepted, and what each may do. A file of tokens is read again when it changes."""

    def __init__(self, source: str | None, permissions: str | None):
        self._source = source
        self._permissions: dict[str, list[str]] = json.loads(permissions) if permissions else {}
        self._extra: set[str] = set()
        self.is_open = source is None

    def add(self, token: str) -> None:
        self._extra.add(token)

    def drop(self, token: str) -> None:
        self._extra.discard(token)
        if self._source and not os.path.isfile(self._source):
            self._source = ",".join(each for each in self._source.split(",") if each != token) or ","

    def accepts(self, token: str) -> bool:
        if token in self._extra:
            return True
        if self._source and os.path.isfile(self._source):
            with open(self._source, encoding="utf-8") as file:
                return token in file.read().split()
        return token in (self._source or "").split(",") and token != ""

    def permits(self, token: str, permission: str) -> bool:
        return token not in self._permissions or permission in self._permissions[token]


class Access(Service):
    """The checks that every request passes, over one store."""

    name = "gcs"

    def __init__(self, store: Store, tokens: Tokens, requester_pays: set[str]):
        super().__init__()
        self.store, self.tokens, self.requester_pays = store, tokens, requester_pays

    def admit(self, request: Request, caller: Caller, bucket: str, permission: str) -> None:
        """The bucket exists, the token is good and may do this, and somebody pays."""
        token = request.bearer
        if not self.tokens.is_open:
            if token is None:
                message = (f"Anonymous caller does not have {permission} access to the Google Cloud Storage "
                           f"{self._what(permission)}. Permission '{permission}' denied on resource (or it may not exist).")
                raise caller.error(401, "required", message, "AuthenticationRequired")
            if not self.tokens.accepts(token):
                raise caller.error(401, "authError", "Invalid Credentials", "AuthenticationRequired")
            if not self.tokens.permits(token, permission):
                message = (f"stub@project.iam.gserviceaccount.com does not have {permission} access to the Google Cloud Storage "
                           f"{self._what(permission)}. Permission '{permission}' denied on resource (or it may not exist).")
                raise caller.error(403, "forbidden", message, "AccessDenied")
        if bucket not in self.store.buckets:
            raise caller.error(404, "notFound", "The specified bucket does not exist.", "NoSuchBucket")
        if bucket in self.requester_pays:
            if not (request.parameters.get("userProject") or request.headers.get("x-goog-user-project")):
                raise caller.error(400, "required", "Bucket is a requester pays bucket but no user project provided.",
                                   "UserProjectMissing")

    @staticmethod
    def _what(permission: str) -> str:
        return "bucket" if permission.split(".")[1] == "buckets" or permission.endswith(".list") else "object"

    def base(self, request: Request) -> str:
        return request.base

    def shown(self, request: Request, bucket: str, value: Object, status: int = 200) -> Answer:
        resource = value.resource(bucket, self.base(request))
        return json_answer(masked(resource, request.parameters.get("fields")), status, *value.hashes(), ("ETag", value.etag()))

    @staticmethod
    def check(caller: Caller, value: Object | None, conditions: dict, is_read: bool = False) -> None:
        """ifGenerationMatch and its kin; 0 stands for "there is none". Only the newest metageneration, 1, exists."""
        generation, metageneration = (value.generation, 1) if value else (0, 0)
        for name, current in zip(PRECONDITIONS, (generation, generation, metageneration, metageneration)):
            if name not in conditions:
                continue
            text = conditions[name]
            if not re.fullmatch(r"\d+", text):
                raise caller.error(400, "invalid", f"Invalid value for {name}: {text}", "InvalidArgument")
            if (int(text) == current) == ("Not" in name):
                if "Not" in name and is_read:
                    raise Refused(Answer(304))
                raise caller.error(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.",
                                   "PreconditionFailed")

    def found(self, caller: Caller, bucket: str, name: str, generation: str | None = None) -> Object:
        value = self.store.find(bucket, name)
        if generation is not None and not re.fullmatch(r"\d+", generation):
            raise caller.error(400, "invalid", f"Invalid generation: {generation}", "InvalidArgument")
        if value is None or generation is not None and int(generation) != value.generation:
            raise caller.error(404, "notFound", f"No such object: {bucket}/{name}", "NoSuchKey")
        return value

    def media(self, request: Request, value: Object) -> Answer:
        """An object's bytes. gzip objects are unpacked for whoever does not accept gzip: then ranges do not hold."""
        headers = [("Content-Type", value.content_type), ("ETag", f'"{value.etag()}"'), *value.hashes(),
                   ("x-goog-generation", str(value.generation)), ("x-goog-metageneration", "1"),
                   ("x-goog-stored-content-encoding", value.content_encoding or "identity"),
                   ("x-goog-stored-content-length", str(value.content.size)), ("x-goog-storage-class", "STANDARD"),
                   ("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")]
        if value.content_encoding == "gzip":
            if "gzip" not in request.headers.get("Accept-Encoding", ""):
                whole = gzip.decompress(value.content.read(0, value.content.size))
                headers.append(("Warning", "214 UploadServer gunzipped"))
                return Answer(200, headers, body=whole, is_chunked=True)
            headers.append(("Content-Encoding", "gzip"))
        return ranged(request, value.content, headers)

    @staticmethod
    def hash_header(request: Request) -> dict:
        """crc32c and md5Hash of x-goog-hash headers, which may be several or one with commas."""
        promised = {}
        for text in request.headers.get_all("x-goog-hash", []):
            for one in text.split(","):
                kind, _, digest = one.strip().partition("=")
                promised[{"crc32c": "crc32c", "md5": "md5Hash"}.get(kind, kind)] = digest
        return promised

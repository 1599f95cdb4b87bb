"""The gcs stub's XML API: objects by path, and multipart uploads, whose parts may come in any order."""

import base64
import itertools
import os
import re
import threading
import urllib.parse
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field, replace

import crc32c
from gcs_access import XML, Access, escape, xml_error
from gcs_store import Spool
from service import Answer, Refused, Request, text_answer

SMALLEST_PART = 5 << 20
LARGEST_PART = 5 << 30
MOST_PARTS = 10_000
LARGEST_OBJECT = 5 << 40


@dataclass
class Part:
    spool: Spool
    etag: str


@dataclass
class Multipart:
    """An XML multipart upload."""

    bucket: str
    name: str
    resource: dict
    parts: dict[int, Part] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def copy(self) -> "Multipart":
        parts = {number: replace(part, spool=part.spool.copy()) for number, part in self.parts.items()}
        return replace(self, parts=parts, lock=threading.Lock())


class XmlApi(Access):
    """Answers what is no path of the JSON API."""

    def __init__(self, *access):
        super().__init__(*access)
        self.page_size = 1000  # most entries of a list
        self.multiparts: dict[str, Multipart] = {}
        self.multiparts_lock = threading.Lock()
        self._upload_ids = itertools.count(1)

    def xml_bucket(self, request: Request, bucket: str) -> Answer:
        if request.method == "GET" and "uploads" in request.parameters:
            return self._xml_uploads(request, bucket)
        self.admit(request, XML, bucket, "storage.buckets.get")
        return xml_error(501, "NotImplemented", "The stub lists objects by the JSON API only.")

    def _xml_uploads(self, request: Request, bucket: str) -> Answer:
        """A page of the bucket's unfinished uploads, by the UTF-8 bytes of their names, then by identifier."""
        self.admit(request, XML, bucket, "storage.multipartUploads.list")
        given = request.parameters
        most = self._most(given.get("max-uploads"))
        if most is None:
            return xml_error(400, "InvalidArgument", "max-uploads must be a positive integer.")
        key, upload_id = given.get("key-marker", ""), given.get("upload-id-marker")
        with self.multiparts_lock:
            found = sorted((one.name.encode(), identifier) for identifier, one in self.multiparts.items()
                           if one.bucket == bucket and one.name.startswith(given.get("prefix", "")))
        # Without an identifier, or without a name, the marker is the name alone: all of its uploads are behind us.
        found = [one for one in found if one[0] > key.encode() or key and upload_id and one > (key.encode(), upload_id)]
        page = found[:most]
        encode = (lambda name: urllib.parse.quote(name)) if given.get("encoding-type") == "url" else escape
        encoding = "<EncodingType>url</EncodingType>" if given.get("encoding-type") == "url" else ""
        uploads = "".join(f"<Upload><Key>{encode(name.decode())}</Key><UploadId>{identifier}</UploadId></Upload>"
                          for name, identifier in page)
        following = ""
        if len(found) > most:
            following = (f"<NextKeyMarker>{encode(page[-1][0].decode())}</NextKeyMarker>"
                         f"<NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>")
        return self._xml("ListMultipartUploadsResult",
                         f"<Bucket>{escape(bucket)}</Bucket>{encoding}{following}<MaxUploads>{most}</MaxUploads>"
                         f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>{uploads}")

    def _xml_parts(self, request: Request, bucket: str, name: str) -> Answer:
        """A page of the parts that an upload has."""
        self.admit(request, XML, bucket, "storage.multipartUploads.listParts")
        given = request.parameters
        upload = self._multipart(bucket, name, given["uploadId"])
        most, after = self._most(given.get("max-parts")), given.get("part-number-marker", "0")
        if most is None or not re.fullmatch(r"\d{1,9}", after):
            return xml_error(400, "InvalidArgument", "max-parts and part-number-marker must be positive integers.")
        with upload.lock:
            found = sorted((number, part) for number, part in upload.parts.items() if number > int(after))
        parts = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(part.etag)}</ETag><Size>{part.spool.size}</Size>"
                        "</Part>" for number, part in found[:most])
        following = f"<NextPartNumberMarker>{found[most - 1][0]}</NextPartNumberMarker>" if len(found) > most else ""
        return self._xml("ListPartsResult", f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(name)}</Key>"
                         f"<UploadId>{given['uploadId']}</UploadId>{following}<MaxParts>{most}</MaxParts>"
                         f"<IsTruncated>{'true' if following else 'false'}</IsTruncated>{parts}")

    def _most(self, text: str | None) -> int | None:
        """Entries of a page; None where that is no number."""
        if text is None:
            return self.page_size
        return min(int(text), self.page_size) if re.fullmatch(r"[1-9]\d{0,8}", text) else None

    def xml_object(self, request: Request, bucket: str, name: str) -> Answer:
        given = request.parameters
        match request.method:
            case "POST" if "uploads" in given:
                return self._xml_begin(request, bucket, name)
            case "PUT" if "uploadId" in given:
                return self._xml_part(request, bucket, name)
            case "POST" if "uploadId" in given:
                return self._xml_complete(request, bucket, name)
            case "DELETE" if "uploadId" in given:
                self.admit(request, XML, bucket, "storage.multipartUploads.abort")
                upload = self._multipart(bucket, name, given["uploadId"])
                with upload.lock:
                    self._end(upload, given["uploadId"])
                return Answer(204)
            case "GET" if "uploadId" in given:
                return self._xml_parts(request, bucket, name)
            case "GET" | "HEAD":
                self.admit(request, XML, bucket, "storage.objects.get")
                value = self.found(XML, bucket, name, given.get("generation"))
                self.check(XML, value, self._xml_conditions(request), is_read=True)
                return self.media(request, value)
            case "PUT":
                return self._xml_put(request, bucket, name)
            case "DELETE":
                self.admit(request, XML, bucket, "storage.objects.delete")
                with self.store.lock:
                    self.check(XML, self.found(XML, bucket, name, given.get("generation")), self._xml_conditions(request))
                    self.store.remove(bucket, name)
                return Answer(204)
        return xml_error(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")

    @staticmethod
    def _xml(root: str, inner: str) -> Answer:
        body = f"<?xml version='1.0' encoding='UTF-8'?><{root} xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{inner}</{root}>"
        return text_answer(body, kind="application/xml; charset=UTF-8")

    @staticmethod
    def _xml_conditions(request: Request) -> dict:
        named = {"x-goog-if-generation-match": "ifGenerationMatch", "x-goog-if-metageneration-match": "ifMetagenerationMatch"}
        return {name: request.headers[header] for header, name in named.items() if header in request.headers}

    @staticmethod
    def _xml_resource(request: Request) -> dict:
        return {"contentType": request.headers.get("Content-Type"), "contentEncoding": request.headers.get("Content-Encoding"),
                "metadata": {name[12:].lower(): value for name, value in request.headers.items()
                             if name.lower().startswith("x-goog-meta-")}}

    def _xml_body(self, request: Request, largest: int) -> Spool:
        """The body, compared with the hashes in its headers."""
        spool = self.store.spool()
        try:
            for piece in request.pieces():
                spool.append(piece)
                if spool.size > largest:
                    raise Refused(xml_error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size."))
            promised = self.hash_header(request)
            if "Content-MD5" in request.headers:
                promised["md5Hash"] = request.headers["Content-MD5"]
            for key, actual in (("crc32c", crc32c.encode(spool.crc)), ("md5Hash", base64.b64encode(spool.md5()).decode())):
                if key in promised and promised[key] != actual:
                    raise Refused(xml_error(400, "BadDigest", "The digest you specified in the request did not match what we "
                                            "computed.", f"{key}: {promised[key]} is not {actual}"))
        except BaseException:
            spool.discard()
            raise
        return spool

    def _xml_put(self, request: Request, bucket: str, name: str) -> Answer:
        self.admit(request, XML, bucket, "storage.objects.create")
        conditions = self._xml_conditions(request)
        self.check(XML, self.store.find(bucket, name), conditions)
        spool = self._xml_body(request, LARGEST_OBJECT)
        with self.store.lock:
            self.check(XML, self.store.find(bucket, name), conditions)
            made = self.store.write(bucket, name, spool.finish(), self._xml_resource(request))
        return Answer(200, [("ETag", f'"{made.etag()}"'), *made.hashes(), ("x-goog-generation", str(made.generation)),
                            ("x-goog-metageneration", "1")])

    def _multipart(self, bucket: str, name: str, key: str) -> Multipart:
        with self.multiparts_lock:
            upload = self.multiparts.get(key)
        if upload is None or (upload.bucket, upload.name) != (bucket, name):
            raise Refused(xml_error(404, "NoSuchUpload", "The requested upload was not found."))
        return upload

    def _end(self, upload: Multipart, key: str) -> None:
        """Completed or aborted: nobody finds it any more. The caller holds its lock."""
        with self.multiparts_lock:
            if self.multiparts.pop(key, None) is None:  # another request was faster
                raise Refused(xml_error(404, "NoSuchUpload", "The requested upload was not found."))
        for part in upload.parts.values():
            part.spool.discard()

    def _xml_begin(self, request: Request, bucket: str, name: str) -> Answer:
        self.admit(request, XML, bucket, "storage.multipartUploads.create")
        if self._xml_conditions(request):
            return xml_error(400, "InvalidArgument", "Preconditions are not supported by multipart uploads.")
        if request.headers.get("Content-Length") is None and "Transfer-Encoding" not in request.headers:
            return xml_error(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
        if request.read(1):
            return xml_error(400, "InvalidArgument", "Initiating a multipart upload has no body.")
        key = f"stub-{next(self._upload_ids)}-{os.urandom(16).hex()}"
        with self.multiparts_lock:
            self.multiparts[key] = Multipart(bucket, name, self._xml_resource(request))
        return self._xml("InitiateMultipartUploadResult", f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(name)}</Key>"
                                                          f"<UploadId>{key}</UploadId>")

    def _xml_part(self, request: Request, bucket: str, name: str) -> Answer:
        self.admit(request, XML, bucket, "storage.multipartUploads.create")
        upload = self._multipart(bucket, name, request.parameters["uploadId"])
        text = request.parameters.get("partNumber", "")
        if not re.fullmatch(r"\d{1,9}", text) or not 1 <= int(text) <= MOST_PARTS:
            return xml_error(400, "InvalidArgument", f"Part number must be an integer between 1 and {MOST_PARTS}, inclusive.")
        spool = self._xml_body(request, LARGEST_PART)
        part = Part(spool, f'"{spool.md5().hex()}"')
        with upload.lock:
            try:
                self._multipart(bucket, name, request.parameters["uploadId"])
            except Refused:  # it ended while the part arrived
                spool.discard()
                raise
            replaced = upload.parts.get(int(text))
            upload.parts[int(text)] = part
        if replaced:
            replaced.spool.discard()
        return Answer(200, [("ETag", part.etag), ("x-goog-hash", f"crc32c={crc32c.encode(spool.crc)}"),
                            ("x-goog-hash", f"md5={base64.b64encode(spool.md5()).decode()}")])

    def _xml_complete(self, request: Request, bucket: str, name: str) -> Answer:
        self.admit(request, XML, bucket, "storage.multipartUploads.create")
        key = request.parameters["uploadId"]
        upload = self._multipart(bucket, name, key)
        try:
            named = [({child.tag.rpartition("}")[2]: (child.text or "").strip() for child in part})
                     for part in ElementTree.fromstring(request.all()) if part.tag.rpartition("}")[2] == "Part"]
            order = [(int(one["PartNumber"]), one["ETag"].strip('"')) for one in named]
        except (ElementTree.ParseError, KeyError, ValueError):
            return xml_error(400, "MalformedXML", "The XML you provided was not well-formed or did not validate.")
        if not order:
            return xml_error(400, "MalformedXML", "A complete request names at least one part.")
        if request.fault.get("complete_error"):
            answer = xml_error(200, "InternalError", "We encountered an internal error. Please try again.")
            return answer
        with upload.lock:
            self._multipart(bucket, name, key)  # of two that complete it, one is too late
            if any(before[0] >= after[0] for before, after in itertools.pairwise(order)):
                return xml_error(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
            parts = []
            for number, etag in order:
                part = upload.parts.get(number)
                if part is None or part.etag.strip('"') != etag:
                    return xml_error(400, "InvalidPart", f"Part {number} could not be found, or its ETag differs.")
                parts.append(part)
            if any(part.spool.size < SMALLEST_PART for part in parts[:-1]):
                return xml_error(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size.")
            if sum(part.spool.size for part in parts) > LARGEST_OBJECT:
                return xml_error(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
            pieces = [part.spool.finish() for part in parts]
            content = self.store.joined(pieces)
            with self.store.lock:
                made = self.store.write(bucket, name, content, upload.resource, has_md5=False, component_count=len(parts))
            self._end(upload, key)
        answer = self._xml("CompleteMultipartUploadResult",
                           f"<Location>{escape(self.base(request))}/{escape(bucket)}/{escape(name)}</Location>"
                           f"<Bucket>{escape(bucket)}</Bucket><Key>{escape(name)}</Key><ETag>\"{made.etag()}\"</ETag>")
        answer.headers += [("x-goog-hash", f"crc32c={crc32c.encode(made.content.crc())}"),
                           ("x-goog-generation", str(made.generation))]
        return answer

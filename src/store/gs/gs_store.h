#pragma once

#include <memory>

#include "base/uri.h"
#include "store/gs/gs_options.h"
#include "store/store.h"

namespace ckpt {

/// The store below gs://bucket/prefix: the JSON API, and XML multipart uploads for positioned
/// objects. Thread-safe. Touches no network itself. kUsage without a bucket, or where credentials
/// would leave without TLS.
///   Reads        pinned to a generation; objects stored with gzip encoding are refused.
///   Create       objects up to small_bytes in one request, else a resumable upload. Create-only
///                and replacement are preconditions of the upload itself. A name that already holds
///                exactly the bytes written (size and CRC-32C) counts as created, since it may be
///                our own earlier try whose answer was lost.
///   Positioned   parts of an XML multipart upload, whose CRC-32Cs are combined and compared with
///                the object's. It has no preconditions: for create-only, the name is looked up
///                right before the upload is completed. Where multipart uploads are denied, parts
///                become objects below .ckpt-tmp/ and are composed.
///   Kept         always an upload of parts, unless empty. A part has 5 MiB at least, and is sent
///                when it is full: Settle() of a segment that ends inside a part that is not full
///                keeps its bytes as an object below .ckpt-tmp/, which Commit() reads back. An
///                upload that is gone at Commit() counts as completed by another process where the
///                object holds exactly these bytes; else kIo.
/// List() shows nothing below .ckpt-tmp/. Writers must not outlive the store; every upload that is
/// not kept ends with its writer.
Result<std::unique_ptr<Store>> OpenGsStore(Uri root, GsOptions options);

/// Creates and removes a tiny object below the root of any store: whether the output can be
/// written is known before the first byte is converted.
Result<void> ProbeWritable(Store& store);

}  // namespace ckpt

#pragma once

#include <string>
#include <string_view>

#include "base/crc32c.h"
#include "base/result.h"
#include "store/gs/client.h"
#include "store/gs/upload_buffer.h"

namespace ckpt::gs {

/// An object in one request (uploadType=multipart): metadata with its CRC-32C, then the first
/// crc32c.size_bytes() bytes of `buffer`, which must live until the answer. The service refuses
/// other bytes than the CRC's. `generation` is what must be there now, "0" for nothing.
http::Request SmallUploadRequest(const Client& client, std::string_view object,
                                 std::string_view generation, UploadBuffer& buffer,
                                 const Crc32c& crc32c);

/// The generation that a new object must replace: "0" for create-only, and where nothing is there.
Result<std::string> GenerationToReplace(Client& client, std::string_view object,
                                        bool is_create_only);

/// Tells before a large upload what its precondition decides at its end: kCannotCreate where the
/// object exists.
Result<void> CheckNew(Client& client, std::string_view object);

/// After a 412: the object, if it holds exactly what was to be written (an earlier try, whose
/// answer was lost); else kCannotCreate.
Result<ObjectMeta> AcceptEqual(Client& client, std::string_view object, const Crc32c& crc32c);

/// Where the upload is gone: the object, if another process completed it (it holds exactly what was
/// to be written); GoneError() where it is not there, kCannotCreate where it is another one.
Result<ObjectMeta> AcceptCompleted(Client& client, std::string_view object, const Crc32c& crc32c);

/// Compares what was made with what was sent; deletes that generation where it differs.
Result<ObjectMeta> CheckMade(Client& client, ObjectMeta made, const Crc32c& crc32c);

/// Sends the request above as often as it takes; when another program replaces the object at the
/// same time and `is_create_only` is false, ours comes after.
Result<ObjectMeta> UploadSmall(Client& client, std::string_view object, UploadBuffer& buffer,
                               const Crc32c& crc32c, bool is_create_only);

}  // namespace ckpt::gs

#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/gs/client.h"

namespace ckpt::gs {

/// The unfinished object behind PositionedWriter::session(): "xml UPLOADID" is a multipart upload,
/// "compose ID" (16 hexadecimal digits) parts that are objects.
struct Session {
  bool is_composed = false;
  std::string id;
  bool operator==(const Session&) const = default;
};
std::string PrintSession(const Session& session);
/// kIo for what is no session.
Result<Session> ParseSession(std::string_view text);

/// Where the objects of the unfinished object lie, below the folder `temporary`.
std::string ScratchFolder(std::string_view temporary, const Session& session);

/// The error where an unfinished object is needed that is gone, and the object is not there either.
Error GoneError();

}  // namespace ckpt::gs

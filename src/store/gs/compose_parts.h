#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "store/gs/part_sink.h"

namespace ckpt::gs {

/// The fallback of multipart uploads: each part becomes an object `temporary`/ID/NUMBER, and they
/// are composed, 32 at a time, in as many levels as it takes, and deleted. `temporary` is a whole
/// name; `id` that of an earlier session, or "" for a new one.
std::unique_ptr<PartSink> MakeComposeParts(Client& client, std::string object,
                                           std::string_view temporary, std::string id,
                                           size_t parts);

inline constexpr size_t kMostComposed = 32;  ///< sources of one compose request

}  // namespace ckpt::gs

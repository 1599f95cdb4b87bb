#pragma once

#include <memory>
#include <string>

#include "store/gs/part_sink.h"

namespace ckpt::gs {

/// The fallback of multipart uploads: each part becomes an object `folder`/RANDOM/NUMBER, and they
/// are composed, 32 at a time, in as many levels as it takes, and deleted. `folder` is a whole
/// name.
std::unique_ptr<PartSink> MakeComposeParts(Client& client, std::string object, std::string folder,
                                           size_t parts);

inline constexpr size_t kMostComposed = 32;  ///< sources of one compose request

}  // namespace ckpt::gs

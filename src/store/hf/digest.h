#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/hf/api.h"

namespace ckpt {

/// 40 hexadecimal digits: the sha1 by which git names a file of these bytes.
std::string GitBlobSha1(std::span<const std::byte> bytes);

/// Holds all bytes of a file to the digest that the Hub named: sha256, or git's sha1. kBadInput.
Result<void> CheckDigest(const HfFile& file, std::span<const std::byte> bytes);

/// What a file's first bytes are instead of the file: a pointer to it, or a page for browsers. ""
/// where they are neither.
std::string_view StandIn(std::string_view first_bytes);

}  // namespace ckpt

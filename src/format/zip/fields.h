#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/endian.h"
#include "base/result.h"

/// For zip/ only.
namespace ckpt::zip {

/// `bytes` <= 8 of them at `at`, which the caller knows to be there.
inline uint64_t Field(std::string_view text, uint64_t at, size_t bytes) {
  return FromLittleEndian(std::as_bytes(std::span(text.substr(at, bytes))));
}

/// An error at a byte of the file.
inline tl::unexpected<Error> Damaged(
    uint64_t byte, std::string what,
    std::string remedy = "the download is incomplete or the file damaged: fetch it again") {
  return Fail(
      {Code::kBadInput, std::move(what), {}, {{"byte", std::to_string(byte)}}, std::move(remedy)});
}

}  // namespace ckpt::zip

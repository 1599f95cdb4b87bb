#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "format/gguf/header.h"
#include "format/gguf/window_reader.h"

/// The parts of a header that have no fixed length: names and values. For header.cc only.
namespace ckpt::gguf {

/// An error of the file with the byte where it stands.
tl::unexpected<Error> Damaged(uint64_t byte, std::string what,
                              std::string_view remedy = "the file is damaged: fetch it again");

/// What a header may still keep.
class MemoryLeft {
 public:
  explicit MemoryLeft(uint64_t bytes) : bytes_(bytes) {}
  /// Before `bytes` are kept. kResources if they are too many.
  Result<void> Keep(uint64_t bytes);

 private:
  uint64_t bytes_;
};

/// A key or a tensor's name: length and UTF-8. `what` names it in messages ("a key").
Result<std::string> ReadName(WindowReader& in, MemoryLeft& memory, std::string_view what);

/// Type and value.
Result<Value> ReadValue(WindowReader& in, MemoryLeft& memory);

}  // namespace ckpt::gguf

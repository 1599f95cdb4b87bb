#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"
#include "format/compress/decompressor.h"

namespace ckpt {

/// Decodes one whole compressed value whose decoded size is known. Errors: kBadInput if `in` is no
/// such stream, decodes to fewer or more than out.size() bytes, is cut, or has bytes after its end.
Result<void> Decompress(Compression kind, std::span<const std::byte> in, std::span<std::byte> out);

/// Decodes one whole zstd frame of unknown size. kBadInput as above; `over_limit` for more than
/// `limit_bytes`: kBadInput where that is the format's limit, kResources where it is the memory's.
Result<std::string> DecompressZstd(std::string_view frame, uint64_t limit_bytes,
                                   Code over_limit = Code::kBadInput);

/// The most bytes that a zstd frame of `size_bytes` takes.
uint64_t ZstdBound(uint64_t size_bytes);

/// One zstd frame with a content checksum, into the front of `out` (of at least ZstdBound bytes);
/// its size. Levels 1 to 19. The bytes depend on the library's release, never on the machine.
/// kResources if the library gets no memory.
Result<uint64_t> CompressZstd(std::span<const std::byte> in, int level, std::span<std::byte> out);

}  // namespace ckpt

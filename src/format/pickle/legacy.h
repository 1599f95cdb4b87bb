#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"
#include "format/pickle/state_dict.h"

/// Files that torch.save wrote before 1.6: five pickles one after the other, then the storages
/// (docs/formats/torch.md). No I/O: the caller finds each pickle by FindPickleEnd and hands it
/// over. Errors: kBadInput with the byte of the file.
namespace ckpt::pickle {

/// The length of the pickle at the beginning of `front`, which begins at `first_byte` of its file;
/// nothing where `front` ends first. kBadInput for bytes that are no pickle's.
Result<std::optional<uint64_t>> FindPickleEnd(std::string_view front, uint64_t first_byte);

/// The first pickle: the magic number.
Result<void> CheckLegacyMagic(std::string_view pickle, uint64_t first_byte);
/// The second: version 1001.
Result<void> CheckLegacyVersion(std::string_view pickle, uint64_t first_byte);
/// The third, sys_info: whether numbers are big-endian.
Result<bool> DecodeLegacyBigEndian(std::string_view pickle, uint64_t first_byte);
/// The fifth: the storages' keys in the order of the file. (The fourth is DecodeStateDict's.)
Result<std::vector<std::string>> DecodeLegacyKeys(std::string_view pickle, uint64_t first_byte);

/// Where each storage lies: by index of `dict.storages`.
struct LegacyLayout {
  std::vector<ByteRange> storages;
  std::vector<uint64_t>
      counts_at;     ///< where its number of elements (i64) stands: 8 bytes before it
  uint64_t end = 0;  ///< what follows is of no storage
};
/// Sizes follow from the types in the pickle, so no data is read. Refuses keys that the pickle does
/// not name, keys that are missing or twice, and storages beyond the end of the file.
Result<LegacyLayout> PlaceLegacyStorages(const StateDict& dict,
                                         const std::vector<std::string>& keys, uint64_t data_begin,
                                         uint64_t file_bytes);

}  // namespace ckpt::pickle

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/crc32c.h"
#include "base/result.h"
#include "source/source_checks.h"

namespace ckpt {

/// CRC-32C of some bytes of one array, as stored.
struct ArrayPart {
  uint32_t array = 0;         ///< into OutputSpec::arrays
  uint64_t offset_bytes = 0;  ///< in the array
  Crc32c crc;
  bool operator==(const ArrayPart&) const = default;
};

/// A chunk as stored in a data file of a chunked output.
struct ChunkPart {
  uint32_t output = 0;  ///< into ChunkedPlan::outputs
  uint32_t array = 0;   ///< into its arrays
  uint64_t chunk = 0;   ///< number in the array's grid, C order
  uint64_t offset = 0;  ///< in the bundle's data file
  uint32_t length = 0;
  uint32_t crc32c = 0;
  bool operator==(const ChunkPart&) const = default;
};

/// Bytes made by a bundle that lie outside what it writes itself: scales in the file's head, and
/// the ragged bytes at both ends of its segment that share a block with a neighbour. The committer
/// writes them.
struct SideValue {
  uint64_t file_offset = 0;  ///< of a chunked output: in the elements of the array
  std::vector<std::byte> bytes;
  uint32_t output = 0;  ///< of a chunked target
  uint32_t array = 0;   ///< of a chunked target: the array of scales
  bool operator==(const SideValue&) const = default;
};

/// A data file that a bundle of a chunked target made, as the store has it.
struct DataFile {
  uint32_t output = 0;
  uint64_t size_bytes = 0;
  std::optional<Crc32c> crc32c = {};  ///< where the store's stat says it
};

/// What is known of a finished bundle.
struct BundleRecord {
  uint32_t number = 0;
  std::vector<ArrayPart> parts;
  std::vector<SideValue> sides;
  std::vector<ChunkPart> chunks = {};
  std::vector<DataFile> files = {};
  std::vector<CheckPart> checks = {};  ///< of the source's own checksums: what was read for it
  std::string receipt = {};  ///< of the segment of the one file, for the writer that commits it

  /// Whether both made the same bytes, whoever wrote them and wherever to.
  bool IsEqualTo(const BundleRecord& other) const {
    return number == other.number && parts == other.parts && sides == other.sides &&
           chunks == other.chunks;
  }
};

/// The record as one small file, side values apart (docs/formats/journal.md). `run_digest`: 64
/// hexadecimal digits. Side values up to kMostInlineSideBytes in all lie in the record itself; else
/// `side_file` takes them.
inline constexpr uint64_t kMostInlineSideBytes = 64ULL * 1024;
struct EncodedRecord {
  std::string record;
  std::string side_file;  ///< "" when they are inline
};
EncodedRecord EncodeRecord(const BundleRecord& record, std::string_view run_digest);

/// The reverse; `side_file` as EncodeRecord made it, or nothing: then side values that lie in it
/// have no bytes. Errors: kBadInput for a record that is
/// damaged, of another run, or whose side file does not match.
Result<BundleRecord> DecodeRecord(std::string_view record,
                                  std::optional<std::string_view> side_file,
                                  std::string_view run_digest);
/// Whether this record needs its side file.
bool HasSideFile(std::string_view record);

}  // namespace ckpt

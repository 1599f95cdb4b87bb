#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/result.h"

/// The zip format as far as range reads need it. All numbers are little endian; all errors are
/// kBadInput with the byte of the file. Origin: PKWARE's APPNOTE 6.3.10, sections 4.3 and 4.5.3;
/// what torch.save writes: docs/formats/torch.md.
namespace ckpt::zip {

/// The longest end: comment, end record, zip64 locator and zip64 end record. Whoever reads so many
/// last bytes of a file (or all of a shorter one) has all that FindDirectory needs.
inline constexpr uint64_t kTailBytes = 65535 + 22 + 20 + 56;
/// The fixed part of a record's entry in the directory, and of its local header.
inline constexpr uint64_t kEntryBytes = 46;
inline constexpr uint64_t kLocalHeaderBytes = 30;
/// DecodeDirectory holds at most this many bytes per byte of directory, beside the directory
/// itself.
inline constexpr uint64_t kDecodeBytesPerDirectoryByte = 4;

enum class Method : uint8_t { kStored, kDeflated, kOther };

struct Record {
  std::string name;  ///< data: UTF-8, unique in its archive; never a path
  Method method = Method::kStored;
  bool is_encrypted = false;
  uint32_t crc32 = 0;         ///< of the unpacked bytes
  uint64_t stored_bytes = 0;  ///< equal to size_bytes where it is stored
  uint64_t size_bytes = 0;    ///< unpacked
  uint64_t header_offset = 0;
  ByteRange data;  ///< its stored bytes; empty until PlaceRecord has seen its local header
};

/// Where the directory lies and how many entries it has.
struct DirectoryPlace {
  ByteRange range;
  uint64_t entries = 0;
};

/// Finds the directory by the end record whose comment ends with the file; a zip64 end record wins
/// over it, as in torch's own reader. `tail`: the last bytes of the file, kTailBytes of them or
/// all.
Result<DirectoryPlace> FindDirectory(std::string_view tail, uint64_t file_bytes);

/// The records by the place of their local headers. Sizes and CRC come from here alone: torch
/// writes zeros into local headers. Refuses names that are not UTF-8 or come twice, and entries
/// that do not fill the directory exactly.
Result<std::vector<Record>> DecodeDirectory(std::string_view directory,
                                            const DirectoryPlace& place);

/// The bytes that PlaceRecord needs of a record: its local header with the name, cut at `end` (the
/// directory's begin).
ByteRange LocalHeaderRange(const Record& record, uint64_t end);

/// Sets record.data from its local header (at LocalHeaderRange): only that one knows how long its
/// extra field is. `end`: the directory's begin. Refuses another name than the directory's, and
/// data that reaches beyond `end`.
Result<void> PlaceRecord(std::string_view local_header, uint64_t end, Record& record);

/// `records` as DecodeDirectory gave them, placed: refuses a record that begins before the one
/// before it ends.
Result<void> CheckOverlap(std::span<const Record> records);

}  // namespace ckpt::zip

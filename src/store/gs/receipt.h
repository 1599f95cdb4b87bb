#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/crc32c.h"
#include "base/result.h"
#include "store/gs/part_layout.h"

namespace ckpt::gs {

/// A part that the service has.
struct SentPart {
  size_t part = 0;  ///< from 0
  Crc32c crc32c;    ///< with its size
  std::string tag;  ///< its ETag; "" where parts are objects
  bool operator==(const SentPart&) const = default;
};

/// Some bytes of a part that is not full yet, kept as an object of their own.
struct SavedPiece {
  ByteRange range;  ///< in the object
  Crc32c crc32c;
  bool operator==(const SavedPiece&) const = default;
};

/// What PositionedWriter::Settle() tells of a range. Its text, words parted by one space:
///   gs1 NUMBER:BYTES:CRC32C:ETAG .. @BEGIN:BYTES:CRC32C ..
/// Parts first (NUMBER from 1), then pieces, each ascending; decimal numbers without leading zeros,
/// the CRC in eight lower-case hexadecimal digits, the ETag percent-encoded (all but letters,
/// digits, "-", ".", "_", "~").
struct Receipt {
  std::vector<SentPart> parts;
  std::vector<SavedPiece> pieces;
  bool operator==(const Receipt&) const = default;
};

std::string PrintReceipt(const Receipt& receipt);
/// Takes exactly what PrintReceipt() makes: kIo for anything else.
Result<Receipt> ParseReceipt(std::string_view text);

/// Whether it tells of exactly the bytes of `range`, cut as `layout` cuts them: a part that meets
/// the range is there as a whole, or each of its cells inside the range is.
bool IsOf(const Receipt& receipt, const PartLayout& layout, const ByteRange& range);

}  // namespace ckpt::gs

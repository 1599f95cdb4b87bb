#pragma once

#include <compare>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "format/ocdbt/byte_reader.h"

namespace ckpt {

/// A data file of an OCDBT database: its place is base + relative, below the database's folder.
/// `base` is kept apart because what a node refers to lies below the base of the file in which the
/// node itself was found.
struct OcdbtFile {
  std::string base;
  std::string relative;
  std::string path() const { return base + relative; }
  auto operator<=>(const OcdbtFile&) const = default;
};

namespace ocdbt {

inline constexpr uint64_t kMaxPathBytes = 65535;
/// Bounds of our own: prefixes are shared, so a small table could stand for any number of bytes.
inline constexpr uint64_t kMaxFiles = 1U << 18U;
inline constexpr uint64_t kMaxTableBytes = 32U << 20U;

/// `files` are sorted, without duplicates.
void AppendFileTable(std::string& out, std::span<const OcdbtFile> files);

/// `transitive`: the base of the file that holds the table's node; "" for the manifest. Paths are
/// not judged here: whoever opens one holds it against SafeName.
Result<std::vector<OcdbtFile>> ReadFileTable(ByteReader& in, std::string_view transitive);

}  // namespace ocdbt
}  // namespace ckpt

#include "format/ocdbt/file_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "format/ocdbt/prefix.h"

namespace ckpt::ocdbt {
namespace {

constexpr uint32_t kCountBits = 64;
constexpr uint32_t kLengthBits = 16;
constexpr uint64_t kLeastFileBytes = 2;  // a suffix length and a base length

// Between different bases only bytes of the bases are shared: the reader could not tell otherwise
// where the base ends.
size_t SharedPrefix(const OcdbtFile& a, const OcdbtFile& b) {
  const size_t shared = CommonPrefix(a.base, b.base);
  return a.base == b.base ? shared + CommonPrefix(a.relative, b.relative) : shared;
}

}  // namespace

void AppendFileTable(std::string& out, std::span<const OcdbtFile> files) {
  AppendVarint(out, files.size());
  std::vector<size_t> shared(files.size(), 0);
  for (size_t i = 1; i < files.size(); ++i) {
    shared[i] = SharedPrefix(files[i - 1], files[i]);
    AppendVarint(out, shared[i]);
  }
  for (size_t i = 0; i < files.size(); ++i)
    AppendVarint(out, files[i].base.size() + files[i].relative.size() - shared[i]);
  for (const OcdbtFile& file : files) AppendVarint(out, file.base.size());
  for (size_t i = 0; i < files.size(); ++i) out += files[i].path().substr(shared[i]);
}

Result<std::vector<OcdbtFile>> ReadFileTable(ByteReader& in, std::string_view transitive) {
  std::vector<OcdbtFile> files;
  CKPT_TRY(const uint64_t count, in.Varint(kCountBits));
  if (count == 0) return files;
  CKPT_TRY_VOID(in.CheckCount("data files", count, kLeastFileBytes));
  if (count > kMaxFiles)
    return in.Damaged(fmt::format("{} data files, at most {} are read", count, kMaxFiles));
  ByteReader prefix_column = in;
  CKPT_TRY_VOID(in.SkipVarints(count - 1, kLengthBits));
  ByteReader suffix_column = in;
  CKPT_TRY_VOID(in.SkipVarints(count, kLengthBits));
  ByteReader base_column = in;
  CKPT_TRY_VOID(in.SkipVarints(count, kLengthBits));

  std::string path;
  uint64_t before_base = 0;
  uint64_t table_bytes = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t prefix = 0;
    if (i > 0) {
      CKPT_TRY(prefix, prefix_column.Varint(kLengthBits));
    }
    CKPT_TRY(const uint64_t suffix, suffix_column.Varint(kLengthBits));
    CKPT_TRY(const uint64_t base, base_column.Varint(kLengthBits));
    if (prefix > path.size())
      return in.Damaged("data file table: a prefix is longer than the path before");
    if (prefix > std::min(before_base, base) && base != before_base)
      return in.Damaged("data file table: a prefix runs past a base path that differs");
    path.resize(prefix);
    CKPT_TRY(const std::string_view bytes, in.Take(suffix));
    path += bytes;
    if (base > path.size() || transitive.size() + path.size() > kMaxPathBytes)
      return in.Damaged("data file table: a path of a wrong length");
    table_bytes += transitive.size() + path.size();
    if (table_bytes > kMaxTableBytes)
      return in.Damaged(
          fmt::format("data file table: the paths have more than {} bytes", kMaxTableBytes));
    files.push_back({std::string(transitive) + path.substr(0, base), path.substr(base)});
    before_base = base;
  }
  return files;
}

}  // namespace ckpt::ocdbt

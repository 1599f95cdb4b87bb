#include "run/record.h"

#include <cstring>
#include <optional>

namespace ckpt {
namespace {

// magic, run digest, number, flags, counts; then parts, sides, chunks, files, checks, receipt,
// inline bytes; CRC-32C of all before it.
constexpr std::string_view kMagic = "CKPTJ003";
constexpr size_t kFlagsOffset = 8 + 64 + 4;
constexpr uint32_t kSideFileFlag = 1;

template <class Int>
void Put(std::string& text, Int value) {
  for (size_t i = 0; i < sizeof(Int); ++i) text += static_cast<char>(value >> (8 * i));
}

// Reads little-endian numbers; every method fails softly past the end.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}
  template <class Int>
  std::optional<Int> Take() {
    if (rest_.size() < sizeof(Int)) return std::nullopt;
    Int value = 0;
    for (size_t i = 0; i < sizeof(Int); ++i)
      value = static_cast<Int>(value | (Int{static_cast<uint8_t>(rest_[i])} << (8 * i)));
    rest_.remove_prefix(sizeof(Int));
    return value;
  }
  std::optional<std::string_view> Take(uint64_t bytes) {
    if (rest_.size() < bytes) return std::nullopt;
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }
  size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

tl::unexpected<Error> Damaged(std::string what) {
  return Fail(Code::kBadInput, "journal record: " + std::move(what),
              "remove the .ckpt-state folder and run again");
}

// Side values without their bytes, whose sizes go to `sizes`.
Result<void> TakeSides(Reader& reader, uint32_t count, BundleRecord& decoded,
                       std::vector<uint64_t>& sizes) {
  if (reader.left() / 24 < count) return Damaged("cut short");
  for (uint32_t i = 0; i < count; ++i) {
    const auto offset = reader.Take<uint64_t>();
    const auto size = reader.Take<uint64_t>();
    const auto output = reader.Take<uint32_t>();
    const auto array = reader.Take<uint32_t>();
    if (!offset || !size || !output || !array) return Damaged("cut short");
    decoded.sides.push_back({*offset, {}, *output, *array});
    sizes.push_back(*size);
  }
  return {};
}

Result<void> TakeChunks(Reader& reader, uint32_t count, BundleRecord& decoded) {
  if (reader.left() / 32 < count) return Damaged("cut short");
  for (uint32_t i = 0; i < count; ++i) {
    const auto output = reader.Take<uint32_t>();
    const auto array = reader.Take<uint32_t>();
    const auto chunk = reader.Take<uint64_t>();
    const auto offset = reader.Take<uint64_t>();
    const auto length = reader.Take<uint32_t>();
    const auto crc = reader.Take<uint32_t>();
    if (!output || !array || !chunk || !offset || !length || !crc) return Damaged("cut short");
    decoded.chunks.push_back({*output, *array, *chunk, *offset, *length, *crc});
  }
  return {};
}

Result<void> TakeFiles(Reader& reader, uint32_t count, BundleRecord& decoded) {
  if (reader.left() / 20 < count) return Damaged("cut short");
  for (uint32_t i = 0; i < count; ++i) {
    const auto output = reader.Take<uint32_t>();
    const auto size = reader.Take<uint64_t>();
    const auto has_crc = reader.Take<uint32_t>();
    const auto crc = reader.Take<uint32_t>();
    if (!output || !size || !has_crc || !crc) return Damaged("cut short");
    DataFile& file = decoded.files.emplace_back(DataFile{*output, *size, {}});
    if (*has_crc != 0) file.crc32c = Crc32c(*crc, *size);
  }
  return {};
}

Result<void> TakeChecks(Reader& reader, uint32_t count, BundleRecord& decoded) {
  if (reader.left() / 24 < count) return Damaged("cut short");
  for (uint32_t i = 0; i < count; ++i) {
    const auto check = reader.Take<uint32_t>();
    const auto begin = reader.Take<uint64_t>();
    const auto size = reader.Take<uint64_t>();
    const auto crc = reader.Take<uint32_t>();
    if (!check || !begin || !size || !crc) return Damaged("cut short");
    decoded.checks.push_back({*check, *begin, *size, *crc});
  }
  return {};
}

}  // namespace

EncodedRecord EncodeRecord(const BundleRecord& record, std::string_view run_digest) {
  uint64_t side_bytes = 0;
  for (const SideValue& side : record.sides) side_bytes += side.bytes.size();
  std::string sides;
  sides.reserve(side_bytes);
  for (const SideValue& side : record.sides)
    sides.append(reinterpret_cast<const char*>(side.bytes.data()), side.bytes.size());
  const bool is_apart = side_bytes > kMostInlineSideBytes;

  EncodedRecord encoded;
  std::string& text = encoded.record;
  text += kMagic;
  text += run_digest;
  Put<uint32_t>(text, record.number);
  Put<uint32_t>(text, is_apart ? kSideFileFlag : 0);
  Put<uint32_t>(text, static_cast<uint32_t>(record.parts.size()));
  Put<uint32_t>(text, static_cast<uint32_t>(record.sides.size()));
  Put<uint32_t>(text, static_cast<uint32_t>(record.chunks.size()));
  Put<uint32_t>(text, static_cast<uint32_t>(record.files.size()));
  Put<uint32_t>(text, static_cast<uint32_t>(record.checks.size()));
  Put<uint32_t>(text, static_cast<uint32_t>(record.receipt.size()));
  Put<uint32_t>(text, Crc32c::Of(Bytes(sides)).value());
  for (const ArrayPart& part : record.parts) {
    Put<uint32_t>(text, part.array);
    Put<uint64_t>(text, part.offset_bytes);
    Put<uint64_t>(text, part.crc.size_bytes());
    Put<uint32_t>(text, part.crc.value());
  }
  for (const SideValue& side : record.sides) {
    Put<uint64_t>(text, side.file_offset);
    Put<uint64_t>(text, side.bytes.size());
    Put<uint32_t>(text, side.output);
    Put<uint32_t>(text, side.array);
  }
  for (const ChunkPart& chunk : record.chunks) {
    Put<uint32_t>(text, chunk.output);
    Put<uint32_t>(text, chunk.array);
    Put<uint64_t>(text, chunk.chunk);
    Put<uint64_t>(text, chunk.offset);
    Put<uint32_t>(text, chunk.length);
    Put<uint32_t>(text, chunk.crc32c);
  }
  for (const DataFile& file : record.files) {
    Put<uint32_t>(text, file.output);
    Put<uint64_t>(text, file.size_bytes);
    Put<uint32_t>(text, file.crc32c ? 1 : 0);
    Put<uint32_t>(text, file.crc32c ? file.crc32c->value() : 0);
  }
  for (const CheckPart& part : record.checks) {
    Put<uint32_t>(text, part.check);
    Put<uint64_t>(text, part.begin);
    Put<uint64_t>(text, part.size_bytes);
    Put<uint32_t>(text, part.sum);
  }
  text += record.receipt;
  if (is_apart) {
    encoded.side_file = std::move(sides);
  } else {
    text += sides;
  }
  Put<uint32_t>(text, Crc32c::Of(Bytes(text)).value());
  return encoded;
}

bool HasSideFile(std::string_view record) {
  Reader reader(record.substr(std::min(record.size(), kFlagsOffset)));
  return (reader.Take<uint32_t>().value_or(0) & kSideFileFlag) != 0;
}

Result<BundleRecord> DecodeRecord(std::string_view record,
                                  std::optional<std::string_view> side_file,
                                  std::string_view run_digest) {
  if (record.size() < kMagic.size() + 4) return Damaged("cut short");
  Reader tail(record.substr(record.size() - 4));
  if (*tail.Take<uint32_t>() != Crc32c::Of(Bytes(record.substr(0, record.size() - 4))).value())
    return Damaged("its checksum does not hold");
  Reader reader(record.substr(0, record.size() - 4));
  if (reader.Take(kMagic.size()) != kMagic) return Damaged("of another version");
  if (reader.Take(run_digest.size()) != run_digest) return Damaged("of another run");
  BundleRecord decoded;
  const auto number = reader.Take<uint32_t>();
  const auto flags = reader.Take<uint32_t>();
  const auto n_parts = reader.Take<uint32_t>();
  const auto n_sides = reader.Take<uint32_t>();
  const auto n_chunks = reader.Take<uint32_t>();
  const auto n_files = reader.Take<uint32_t>();
  const auto n_checks = reader.Take<uint32_t>();
  const auto n_receipt = reader.Take<uint32_t>();
  const auto side_crc = reader.Take<uint32_t>();
  if (!number || !flags || !n_parts || !n_sides || !n_chunks || !n_files || !n_checks ||
      !n_receipt || !side_crc || reader.left() / 24 < *n_parts)
    return Damaged("cut short");
  decoded.number = *number;
  for (uint32_t i = 0; i < *n_parts; ++i) {
    const auto array = reader.Take<uint32_t>();
    const auto offset = reader.Take<uint64_t>();
    const auto size = reader.Take<uint64_t>();
    const auto crc = reader.Take<uint32_t>();
    if (!array || !offset || !size || !crc) return Damaged("cut short");
    decoded.parts.push_back({*array, *offset, Crc32c(*crc, *size)});
  }
  std::vector<uint64_t> sizes;
  CKPT_TRY_VOID(TakeSides(reader, *n_sides, decoded, sizes));
  CKPT_TRY_VOID(TakeChunks(reader, *n_chunks, decoded));
  CKPT_TRY_VOID(TakeFiles(reader, *n_files, decoded));
  CKPT_TRY_VOID(TakeChecks(reader, *n_checks, decoded));
  const auto receipt = reader.Take(uint64_t{*n_receipt});
  if (!receipt) return Damaged("cut short");
  decoded.receipt = *receipt;
  const bool is_apart = (*flags & kSideFileFlag) != 0;
  if (is_apart && !side_file) return decoded;
  const std::string_view sides = is_apart ? *side_file : *reader.Take(reader.left());
  if (Crc32c::Of(Bytes(sides)).value() != *side_crc) return Damaged("its side values are damaged");
  Reader values(sides);
  for (uint32_t i = 0; i < *n_sides; ++i) {
    const auto bytes = values.Take(sizes[i]);
    if (!bytes) return Damaged("its side values are cut short");
    const auto span = Bytes(*bytes);
    decoded.sides[i].bytes.assign(span.begin(), span.end());
  }
  if (values.left() != 0 || reader.left() != 0) return Damaged("bytes are left over");
  return decoded;
}

}  // namespace ckpt

#include "store/gs/receipt.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "store/http/url.h"

namespace ckpt::gs {
namespace {

constexpr std::string_view kVersion = "gs1";
constexpr int kHex = 16;

template <class T>
std::optional<T> Number(std::string_view text, int base = 10) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

std::optional<Crc32c> CrcOf(std::string_view size, std::string_view crc) {
  const auto bytes = Number<uint64_t>(size);
  const auto value = Number<uint32_t>(crc, kHex);
  if (!bytes || !value) return {};
  return Crc32c(*value, *bytes);
}

bool AddPart(const std::vector<std::string>& words, Receipt& receipt) {
  if (words.size() != 4) return false;
  const auto number = Number<size_t>(words[0]);
  const auto crc = CrcOf(words[1], words[2]);
  Result<std::string> tag = http::PercentDecode(words[3]);
  if (!number || *number == 0 || !crc || !tag) return false;
  if (!receipt.parts.empty() && receipt.parts.back().part >= *number - 1) return false;
  receipt.parts.push_back({*number - 1, *crc, *std::move(tag)});
  return true;
}

bool AddPiece(const std::vector<std::string>& words, Receipt& receipt) {
  if (words.size() != 3) return false;
  const auto begin = Number<uint64_t>(words[0]);
  const auto crc = CrcOf(words[1], words[2]);
  if (!begin || !crc) return false;
  const auto end = CheckedAdd(*begin, crc->size_bytes());
  if (!end || (!receipt.pieces.empty() && receipt.pieces.back().range.end > *begin)) return false;
  receipt.pieces.push_back({{*begin, *end}, *crc});
  return true;
}

}  // namespace

std::string PrintReceipt(const Receipt& receipt) {
  std::string text(kVersion);
  for (const SentPart& part : receipt.parts)
    text += fmt::format(" {}:{}:{:08x}:{}", part.part + 1, part.crc32c.size_bytes(),
                        part.crc32c.value(), http::PercentEncode(part.tag));
  for (const SavedPiece& piece : receipt.pieces)
    text += fmt::format(" @{}:{}:{:08x}", piece.range.begin, piece.crc32c.size_bytes(),
                        piece.crc32c.value());
  return text;
}

Result<Receipt> ParseReceipt(std::string_view text) {
  const std::vector<std::string> words = Split(text, ' ');
  Receipt receipt;
  bool is_good = words.front() == kVersion;
  for (size_t i = 1; i < words.size() && is_good; ++i) {
    const bool is_piece = words[i].starts_with('@');
    is_good = is_piece ? AddPiece(Split(std::string_view(words[i]).substr(1), ':'), receipt)
                       : AddPart(Split(words[i], ':'), receipt);
  }
  // One text for one receipt: what was printed otherwise was not printed by us.
  if (!is_good || PrintReceipt(receipt) != text)
    return Fail(Code::kIo, fmt::format("not a receipt of this store: \"{}\"", Excerpt(text)),
                "the state of the run is damaged: remove it with ckpt clean, and run again");
  return receipt;
}

bool IsOf(const Receipt& receipt, const PartLayout& layout, const ByteRange& range) {
  size_t part = 0;
  size_t piece = 0;
  for (size_t i = range.empty() ? layout.parts.size() : layout.Find(range.begin);
       i < layout.parts.size() && layout.parts[i].begin < range.end; ++i) {
    if (part < receipt.parts.size() && receipt.parts[part].part == i) {
      if (receipt.parts[part].crc32c.size_bytes() != layout.parts[i].size()) return false;
      ++part;
      continue;
    }
    for (size_t c = layout.first_cell[i]; c < layout.first_cell[i + 1]; ++c) {
      const ByteRange& cell = layout.cells[c];
      if (cell.end <= range.begin || cell.begin >= range.end) continue;
      if (!range.Contains(cell) || piece == receipt.pieces.size() ||
          receipt.pieces[piece].range != cell)
        return false;
      ++piece;
    }
  }
  return part == receipt.parts.size() && piece == receipt.pieces.size();
}

}  // namespace ckpt::gs

// A PyTorch file before 1.6: five pickles without lengths, then the storages, whose places follow
// from the pickles.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/endian.h"
#include "base/text.h"
#include "base/units.h"
#include "format/pickle/legacy.h"
#include "source/reading.h"
#include "source/torch/parts.h"

namespace ckpt {
namespace {

constexpr uint64_t kFirstWindowBytes = kMiB;

class LegacyFile {
 public:
  LegacyFile(ObjectReader& reader, uint32_t object, MemoryBudget& budget)
      : reader_(reader), object_(object), budget_(budget) {}

  Result<TorchFile> Read() {
    CKPT_TRY(std::string_view text, NextPickle());
    CKPT_TRY_VOID(pickle::CheckLegacyMagic(text, at_));
    Advance(text);
    CKPT_TRY(text, NextPickle());
    CKPT_TRY_VOID(pickle::CheckLegacyVersion(text, at_));
    Advance(text);
    CKPT_TRY(text, NextPickle());
    CKPT_TRY(const bool is_big_endian, pickle::DecodeLegacyBigEndian(text, at_));
    Advance(text);

    CKPT_TRY(text, NextPickle());
    const uint64_t memory_bytes = PickleMemoryBytes(budget_);
    CKPT_TRY(const Grant grant, GrantNow(budget_, memory_bytes, "the pickle"));
    CKPT_TRY(pickle::StateDict dict,
             pickle::DecodeStateDict(text, {"the file", at_, memory_bytes}));
    Advance(text);
    CKPT_TRY(text, NextPickle());
    CKPT_TRY(const std::vector<std::string> keys, pickle::DecodeLegacyKeys(text, at_));
    Advance(text);

    CKPT_TRY(const pickle::LegacyLayout layout,
             pickle::PlaceLegacyStorages(dict, keys, at_, reader_.info().size_bytes));
    CKPT_TRY_VOID(CheckCounts(dict, layout, is_big_endian));
    if (layout.end < reader_.info().size_bytes)
      file_.warnings.push_back(fmt::format("{} bytes after the last storage are ignored",
                                           reader_.info().size_bytes - layout.end));
    for (pickle::Tensor& tensor : dict.tensors) {
      const uint64_t begin = layout.storages[tensor.storage].begin;
      file_.tensors.push_back(ToEntry(std::move(tensor), object_, begin, is_big_endian));
    }
    file_.is_legacy = true;
    return std::move(file_);
  }

 private:
  // The pickle that begins at at_: read ahead until its end is in the window.
  Result<std::string_view> NextPickle() {
    const uint64_t file_bytes = reader_.info().size_bytes;
    for (uint64_t wanted = kFirstWindowBytes;; wanted *= 2) {
      wanted = std::min({wanted, pickle::kMaxPickleBytes, file_bytes - at_});
      if (window_.size() < wanted) CKPT_TRY_VOID(Fill(wanted));
      CKPT_TRY(const std::optional<uint64_t> length, pickle::FindPickleEnd(window_, at_));
      if (length) return std::string_view(window_).substr(0, *length);
      if (window_.size() < file_bytes - at_ && wanted < pickle::kMaxPickleBytes) continue;
      return Fail(
          {Code::kBadInput,
           wanted < pickle::kMaxPickleBytes
               ? "the file ends inside a pickle"
               : fmt::format("a pickle of more than {}", FormatBytes(pickle::kMaxPickleBytes)),
           {},
           {{"byte", std::to_string(at_)}},
           "the download is incomplete or the file damaged: fetch it again"});
    }
  }

  Result<void> Fill(uint64_t wanted) {
    grant_ = Grant();
    CKPT_TRY(grant_, GrantNow(budget_, 2 * wanted, "the pickles"));
    window_.reserve(wanted);
    file_.header_bytes += wanted - window_.size();
    return AppendRange(reader_, {at_ + window_.size(), at_ + wanted}, window_);
  }

  void Advance(std::string_view text) {
    const uint64_t bytes = text.size();
    at_ += bytes;
    window_.erase(0, bytes);
  }

  // Each storage says once more how many elements it has.
  Result<void> CheckCounts(const pickle::StateDict& dict, const pickle::LegacyLayout& layout,
                           bool is_big_endian) {
    std::vector<size_t> order(layout.counts_at.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return layout.counts_at[a] < layout.counts_at[b]; });
    std::vector<ByteRange> ranges;
    ranges.reserve(order.size());
    for (const size_t i : order) ranges.push_back({layout.counts_at[i], layout.storages[i].begin});
    return ReadSmallRanges(
        reader_, ranges, [&](size_t number, std::string_view bytes) -> Result<void> {
          file_.header_bytes += bytes.size();
          const pickle::Storage& storage = dict.storages[order[number]];
          const uint64_t little = FromLittleEndian(std::as_bytes(std::span(bytes)));
          const uint64_t found = is_big_endian ? __builtin_bswap64(little) : little;
          // The count is written in the byte order of the machine; some writers kept to
          // little-endian.
          if (found == storage.elements || little == storage.elements) return {};
          return Fail({Code::kBadInput,
                       fmt::format("storage {} has {} elements here, the pickle says {}",
                                   Excerpt(storage.key), found, storage.elements),
                       {},
                       {{"byte", std::to_string(ranges[number].begin)}},
                       "the file is damaged: fetch it again"});
        });
  }

  ObjectReader& reader_;
  const uint32_t object_;
  MemoryBudget& budget_;
  TorchFile file_;
  Grant grant_;
  uint64_t at_ = 0;     // of the next pickle
  std::string window_;  // what of the file is read from at_ on
};

}  // namespace

Result<TorchFile> ReadTorchLegacy(ObjectReader& reader, uint32_t object, MemoryBudget& budget) {
  return LegacyFile(reader, object, budget).Read();
}

}  // namespace ckpt

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "format/pickle/legacy.h"
#include "tests/fuzz/expect.h"

namespace ckpt::pickle {
namespace {

// Five pickles and the places of the storages, as source/torch/legacy_file.cc takes them.
class File {
 public:
  explicit File(std::string_view bytes) : bytes_(bytes) {}

  Result<std::string_view> Next() {
    CKPT_TRY(const std::optional<uint64_t> length, FindPickleEnd(bytes_.substr(at_), at_));
    if (!length) return Fail(Code::kBadInput, "the file ends", "fetch it again");
    FUZZ_EXPECT(*length <= bytes_.size() - at_);
    begin_ = at_;
    at_ += *length;
    return bytes_.substr(begin_, *length);
  }
  uint64_t begin() const { return begin_; }
  uint64_t at() const { return at_; }

 private:
  std::string_view bytes_;
  uint64_t begin_ = 0;
  uint64_t at_ = 0;
};

Result<void> Run(std::string_view bytes) {
  File file(bytes);
  CKPT_TRY(std::string_view text, file.Next());
  CKPT_TRY_VOID(CheckLegacyMagic(text, file.begin()));
  CKPT_TRY(text, file.Next());
  CKPT_TRY_VOID(CheckLegacyVersion(text, file.begin()));
  CKPT_TRY(text, file.Next());
  CKPT_TRY_VOID(DecodeLegacyBigEndian(text, file.begin()));
  CKPT_TRY(text, file.Next());
  CKPT_TRY(const StateDict dict, DecodeStateDict(text, {"the file", file.begin(), 4 << 20}));
  CKPT_TRY(text, file.Next());
  CKPT_TRY(const std::vector<std::string> keys, DecodeLegacyKeys(text, file.begin()));
  CKPT_TRY(const LegacyLayout layout, PlaceLegacyStorages(dict, keys, file.at(), bytes.size()));
  FUZZ_EXPECT(layout.storages.size() == dict.storages.size() && layout.end <= bytes.size());
  for (size_t i = 0; i < layout.storages.size(); ++i) {
    FUZZ_EXPECT(layout.storages[i].size() == dict.storages[i].size_bytes &&
                layout.storages[i].end <= layout.end);
    FUZZ_EXPECT(layout.counts_at[i] + 8 == layout.storages[i].begin);
  }
  return {};
}

}  // namespace
}  // namespace ckpt::pickle

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto result = ckpt::pickle::Run({reinterpret_cast<const char*>(data), size});
  FUZZ_EXPECT(result || result.error().code == ckpt::Code::kBadInput ||
              result.error().code == ckpt::Code::kResources);
  return 0;
}

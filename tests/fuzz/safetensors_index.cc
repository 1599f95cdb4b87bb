#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/safetensors/index.h"
#include "tests/fuzz/expect.h"

namespace ckpt::safetensors {
namespace {

void Run(std::string_view text) {
  const auto index = DecodeIndex(text);
  if (!index) {
    FUZZ_EXPECT(index.error().code == Code::kBadInput && !index.error().remedy.empty());
    return;
  }
  const std::string written = EncodeIndex(*index);
  const auto again = DecodeIndex(written);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(*again == *index);
  FUZZ_EXPECT(EncodeIndex(*again) == written);
  FUZZ_EXPECT(!index->entries.empty());
  for (const Index::Entry& entry : index->entries) FUZZ_EXPECT(entry.shard < index->shards.size());
}

}  // namespace
}  // namespace ckpt::safetensors

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::safetensors::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

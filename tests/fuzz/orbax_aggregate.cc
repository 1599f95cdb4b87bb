#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "format/orbax/msgpack.h"
#include "tests/fuzz/expect.h"

namespace ckpt {
namespace {

constexpr size_t kMostWritten = 1U << 14U;  // longer names are the same, and slow

// What the encoder keeps of a tree, in an order of its own.
std::vector<std::string> Names(const std::vector<OrbaxLeaf>& leaves) {
  std::vector<std::string> names;
  for (const OrbaxLeaf& leaf : leaves) {
    std::string name;
    for (const OrbaxKey& key : leaf.path) name += (key.is_sequence ? "[" : ".") + key.name;
    names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return names;
}

void Run(std::string_view bytes) {
  const auto leaves = DecodeOrbaxAggregate(bytes);
  if (!leaves) {
    FUZZ_EXPECT(leaves.error().code == Code::kBadInput && !leaves.error().remedy.empty());
    return;
  }
  for (const OrbaxLeaf& leaf : *leaves) FUZZ_EXPECT(!leaf.path.empty());
  const bool is_short = std::all_of(leaves->begin(), leaves->end(), [](const OrbaxLeaf& leaf) {
    return OrbaxParamName(leaf.path).size() < kMostWritten;
  });
  if (!CheckOrbaxTree(*leaves) || !is_short || leaves->empty()) return;
  const std::string written = EncodeOrbaxAggregate(*leaves);
  const auto again = DecodeOrbaxAggregate(written);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(Names(*again) == Names(*leaves));
  FUZZ_EXPECT(EncodeOrbaxAggregate(*again) == written);
}

}  // namespace
}  // namespace ckpt

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

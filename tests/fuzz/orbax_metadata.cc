#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/orbax/metadata.h"
#include "tests/fuzz/expect.h"

namespace ckpt {
namespace {

void Run(std::string_view json) {
  const auto metadata = DecodeOrbaxMetadata(json);
  if (!metadata) {
    FUZZ_EXPECT(metadata.error().code == Code::kBadInput && !metadata.error().remedy.empty());
    return;
  }
  for (const OrbaxLeaf& leaf : metadata->leaves) FUZZ_EXPECT(!leaf.path.empty());
  const std::string written = EncodeOrbaxMetadata(*metadata);
  const auto again = DecodeOrbaxMetadata(written);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(again->leaves == metadata->leaves);
  FUZZ_EXPECT(again->use_zarr3 == metadata->use_zarr3 && again->use_ocdbt == metadata->use_ocdbt &&
              again->stores_fill_chunks == metadata->stores_fill_chunks);
  FUZZ_EXPECT(EncodeOrbaxMetadata(*again) == written);
}

}  // namespace
}  // namespace ckpt

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/ocdbt/manifest.h"
#include "tests/fuzz/expect.h"
#include "tests/unit/format/ocdbt_builder.h"

namespace ckpt {
namespace {

void Run(std::string_view bytes) {
  const auto manifest = DecodeOcdbtManifest(bytes);
  if (!manifest) {
    FUZZ_EXPECT(manifest.error().code == Code::kBadInput && !manifest.error().remedy.empty());
    return;
  }
  if (!manifest->latest) return;
  const std::string written = EncodeOcdbtManifest(manifest->config, *manifest->latest);
  const auto again = DecodeOcdbtManifest(written);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(again->config == manifest->config && again->latest == manifest->latest);
  FUZZ_EXPECT(EncodeOcdbtManifest(again->config, *again->latest) == written);
}

}  // namespace
}  // namespace ckpt

// Once as it is, and once as the body of an envelope whose checksum is right: a fuzzer never finds
// a CRC by itself.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ckpt::Run(bytes);
  ckpt::Run(ckpt::SealBody(ckpt::kManifestMagicHex, bytes));
  return 0;
}

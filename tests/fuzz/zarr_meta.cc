#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/zarr/meta.h"
#include "tests/fuzz/expect.h"

namespace ckpt {
namespace {

void Run(ZarrForm form, std::string_view json) {
  const auto meta = DecodeZarrMeta(form, json);
  if (!meta) {
    FUZZ_EXPECT(meta.error().code == Code::kBadInput && !meta.error().remedy.empty());
    return;
  }
  FUZZ_EXPECT(meta->shape.rank() == meta->chunk.rank() && meta->shape.rank() <= kZarrMaxRank);
  FUZZ_EXPECT(ZarrChunkBytes(*meta) <= kZarrMaxChunkBytes);
  const auto chunks = ZarrGrid(*meta).Elements();
  FUZZ_EXPECT(chunks && *chunks <= kZarrMaxChunks);
  for (const uint64_t number : {uint64_t{0}, *chunks / 2, *chunks - 1}) {
    if (*chunks > 0) FUZZ_EXPECT(ZarrChunkNumber(*meta, ZarrChunkKey(*meta, number)) == number);
  }
  if (!meta->fill.empty()) return;  // such arrays are never written
  const std::string written = EncodeZarrMeta(*meta);
  const auto again = DecodeZarrMeta(form, written);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(*again == *meta);
  FUZZ_EXPECT(EncodeZarrMeta(*again) == written);
}

}  // namespace
}  // namespace ckpt

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  ckpt::Run(ckpt::ZarrForm::kV2, json);
  ckpt::Run(ckpt::ZarrForm::kV3, json);
  return 0;
}

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/crc32c.h"
#include "base/endian.h"
#include "format/zarr/chunk.h"
#include "tests/fuzz/expect.h"

namespace ckpt {
namespace {

constexpr auto kDTypes = std::to_array<DType>(
    {DType::kU8, DType::kI4, DType::kBF16, DType::kF32, DType::kC64, DType::kI2});

constexpr size_t kChoiceBytes = 3;

// Three bytes choose the metadata, the others are the stored chunk.
ZarrArrayMeta MetaOf(std::span<const uint8_t> choice) {
  const uint32_t extent = 1 + choice[0] % 7U;
  ZarrArrayMeta meta = MakeZarrMeta(ZarrForm::kV3, kDTypes[choice[1] % kDTypes.size()],
                                    {2ULL * extent, 3}, {2ULL * extent, 3});
  ZarrCodecs codecs;
  codecs.compression = static_cast<Compression>(choice[2] & 3U);
  codecs.has_crc32c = (choice[2] & 4U) != 0;
  codecs.is_big_endian = (choice[2] & 8U) != 0 && ElementBytes(meta.dtype) > 1;
  if ((choice[2] & 16U) == 0) {
    meta.codecs = codecs;
  } else {
    const bool is_whole = (choice[2] & 128U) != 0;
    meta.sharding = ZarrSharding{is_whole ? meta.chunk : Shape{extent, 3}, codecs,
                                 (choice[2] & 32U) != 0, (choice[2] & 64U) != 0};
  }
  return meta;
}

void Run(const ZarrArrayMeta& meta, std::span<const std::byte> stored) {
  std::vector<std::byte> out(ZarrChunkBytes(meta));
  std::vector<std::byte> scratch(ChunkScratchBytes(meta));
  const auto decoded = DecodeChunk(meta, stored, out, scratch);
  if (!decoded) {
    FUZZ_EXPECT(decoded.error().code == Code::kBadInput && !decoded.error().remedy.empty());
    return;
  }
  if (meta.sharding) return;
  if (meta.codecs.compression == Compression::kNone)
    FUZZ_EXPECT(stored.size() == out.size() + (meta.codecs.has_crc32c ? kChunkCrcBytes : 0));
  if (!meta.codecs.has_crc32c) return;
  const Crc32c crc = Crc32c::Of(stored.first(stored.size() - kChunkCrcBytes));
  FUZZ_EXPECT(FromLittleEndian(stored.last(kChunkCrcBytes)) == crc.value());
}

}  // namespace
}  // namespace ckpt

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < ckpt::kChoiceBytes) return 0;
  const std::span<const uint8_t> bytes(data, size);
  ckpt::Run(ckpt::MetaOf(bytes.first(ckpt::kChoiceBytes)),
            std::as_bytes(bytes.subspan(ckpt::kChoiceBytes)));
  return 0;
}

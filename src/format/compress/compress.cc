#include "format/compress/compress.h"

#include <fmt/format.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>

#include "base/check.h"

namespace ckpt {
namespace {

constexpr std::string_view kDamaged = "the file is damaged: fetch it again";
constexpr size_t kGrowBytes = 64U << 10U;  // what DecompressZstd grows by

struct FreeZstd {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

tl::unexpected<Error> Refuse(std::string what) {
  return Fail(Code::kBadInput, std::move(what), std::string(kDamaged));
}

// In one call, straight into `out`: a stream would hold its window a second time, up to 128 MiB.
Result<void> DecompressFrame(std::span<const std::byte> in, std::span<std::byte> out) {
  const size_t frame_bytes = ZSTD_findFrameCompressedSize(in.data(), in.size());
  if (ZSTD_isError(frame_bytes) != 0)
    return Refuse(fmt::format("zstd: {}", ZSTD_getErrorName(frame_bytes)));
  if (frame_bytes != in.size())
    return Refuse(fmt::format("{} bytes follow the compressed data", in.size() - frame_bytes));
  const std::unique_ptr<ZSTD_DCtx, FreeZstd> context(ZSTD_createDCtx());
  if (context == nullptr)
    return Fail(Code::kResources, "no memory for a decompressor", "give the machine more memory");
  const size_t size =
      ZSTD_decompressDCtx(context.get(), out.data(), out.size(), in.data(), in.size());
  if (ZSTD_isError(size) != 0) {
    if (ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall)
      return Refuse(fmt::format("decodes to more than {} bytes", out.size()));
    return Refuse(fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  }
  if (size != out.size())
    return Refuse(fmt::format("decodes to {} bytes, not to {}", size, out.size()));
  return {};
}

}  // namespace

Result<void> Decompress(Compression kind, std::span<const std::byte> in, std::span<std::byte> out) {
  if (kind == Compression::kZstd) return DecompressFrame(in, out);
  CKPT_TRY(Decompressor decompressor, Decompressor::Make(kind));
  const size_t expected = out.size();
  const size_t stored = in.size();
  bool is_over = false;
  while (!is_over) {
    const size_t before = in.size() + out.size();
    CKPT_TRY(is_over, decompressor.Step(in, out));
    if (!is_over && in.size() + out.size() == before) break;
  }
  if (!is_over && out.empty()) {
    // The end of the stream may lie behind its last byte of output: a byte more must not come.
    std::array<std::byte, 1> extra{};
    std::span<std::byte> room(extra);
    CKPT_TRY(is_over, decompressor.Step(in, room));
    if (room.empty()) return Refuse(fmt::format("decodes to more than {} bytes", expected));
  }
  if (!is_over)
    return Refuse(fmt::format("truncated: {} stored bytes decode to {} of {} bytes", stored,
                              expected - out.size(), expected));
  if (!out.empty())
    return Refuse(fmt::format("decodes to {} bytes, not to {}", expected - out.size(), expected));
  if (!in.empty()) return Refuse(fmt::format("{} bytes follow the compressed data", in.size()));
  return {};
}

Result<std::string> DecompressZstd(std::string_view frame, uint64_t limit_bytes, Code over_limit) {
  CKPT_TRY(Decompressor decompressor, Decompressor::Make(Compression::kZstd));
  std::span<const std::byte> in = std::as_bytes(std::span(frame));
  std::string text;
  uint64_t size = 0;
  bool is_over = false;
  while (!is_over) {
    // Doubling, so that a bomb costs at most twice the limit before it is refused.
    text.resize(std::min<uint64_t>(limit_bytes + 1, std::max<uint64_t>(2 * size, kGrowBytes)));
    std::span<std::byte> out = std::as_writable_bytes(std::span(text)).subspan(size);
    const size_t before = in.size() + out.size();
    CKPT_TRY(is_over, decompressor.Step(in, out));
    const bool is_stuck = in.size() + out.size() == before;
    size = text.size() - out.size();
    if (size > limit_bytes)
      return Fail(over_limit, fmt::format("decodes to more than {} bytes", limit_bytes),
                  std::string(over_limit == Code::kBadInput ? kDamaged : "give a larger --memory"));
    if (!is_over && (is_stuck || in.empty()) && !out.empty())
      return Refuse(fmt::format("truncated: the zstd frame of {} bytes has no end", frame.size()));
  }
  if (!in.empty()) return Refuse(fmt::format("{} bytes follow the zstd frame", in.size()));
  text.resize(size);
  return text;
}

uint64_t ZstdBound(uint64_t size_bytes) { return ZSTD_compressBound(size_bytes); }

Result<uint64_t> CompressZstd(std::span<const std::byte> in, int level, std::span<std::byte> out) {
  CKPT_CHECK(level >= 1 && level <= 19 && out.size() >= ZstdBound(in.size()));
  const std::unique_ptr<ZSTD_CCtx, FreeZstd> context(ZSTD_createCCtx());
  if (context == nullptr)
    return Fail(Code::kResources, "no memory for a compressor", "give the machine more memory");
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, level);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  const size_t size = ZSTD_compress2(context.get(), out.data(), out.size(), in.data(), in.size());
  if (ZSTD_isError(size) != 0)
    return Fail(Code::kResources, fmt::format("zstd: {}", ZSTD_getErrorName(size)),
                "give the machine more memory");
  return size;
}

}  // namespace ckpt

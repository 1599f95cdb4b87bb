#include "format/compress/decompressor.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/check.h"

namespace ckpt {
namespace {

constexpr std::string_view kRemedy = "the file is damaged: fetch it again";
constexpr int kZlibWindow = 15;              // zlib's words: the header says zlib
constexpr int kGzipWindow = 15 + 16;         // the header says gzip
constexpr int kDeflateWindow = -15;          // no header
constexpr size_t kMostZlibStep = 1U << 30U;  // zlib counts in unsigned int

struct FreeZstd {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

}  // namespace

struct Decompressor::State {
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (is_zlib) inflateEnd(&zlib);
  }

  std::unique_ptr<ZSTD_DCtx, FreeZstd> zstd;
  z_stream zlib = {};
  bool is_zlib = false;
  bool is_over = false;
};

Decompressor::Decompressor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;
Decompressor::~Decompressor() = default;

Result<Decompressor> Decompressor::Make(Compression kind, int window_log) {
  CKPT_CHECK(kind != Compression::kNone);
  auto state = std::make_unique<State>();
  bool is_ready = false;
  if (kind == Compression::kZstd) {
    state->zstd.reset(ZSTD_createDCtx());
    is_ready =
        state->zstd != nullptr && ZSTD_isError(ZSTD_DCtx_setParameter(
                                      state->zstd.get(), ZSTD_d_windowLogMax, window_log)) == 0;
  } else {
    const int window = kind == Compression::kDeflate ? kDeflateWindow
                       : kind == Compression::kGzip  ? kGzipWindow
                                                     : kZlibWindow;
    is_ready = inflateInit2(&state->zlib, window) == Z_OK;
    state->is_zlib = is_ready;
  }
  if (!is_ready)
    return Fail(Code::kResources, "no memory for a decompressor", "give the machine more memory");
  return Decompressor(std::move(state));
}

namespace {

Result<bool> StepZstd(ZSTD_DCtx* context, std::span<const std::byte>& in,
                      std::span<std::byte>& out) {
  ZSTD_inBuffer from{in.data(), in.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  size_t left = 1;
  while (left != 0) {
    const size_t before = from.pos + to.pos;
    left = ZSTD_decompressStream(context, &to, &from);
    if (ZSTD_isError(left) != 0)
      return Fail(Code::kBadInput, fmt::format("zstd: {}", ZSTD_getErrorName(left)),
                  std::string(kRemedy));
    if (left != 0 && from.pos + to.pos == before) break;
  }
  in = in.subspan(from.pos);
  out = out.subspan(to.pos);
  return left == 0;
}

Result<bool> StepZlib(z_stream& stream, std::span<const std::byte>& in, std::span<std::byte>& out) {
  // The library's input pointer is not const in its older interface; it does not write there.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream.avail_in = static_cast<uInt>(std::min(in.size(), kMostZlibStep));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(std::min(out.size(), kMostZlibStep));
  const size_t in_given = stream.avail_in;
  const size_t out_given = stream.avail_out;
  const int status = inflate(&stream, Z_NO_FLUSH);
  if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
    return Fail(
        Code::kBadInput,
        fmt::format("zlib: {}", stream.msg != nullptr ? stream.msg : "the stream is damaged"),
        std::string(kRemedy));
  in = in.subspan(in_given - stream.avail_in);
  out = out.subspan(out_given - stream.avail_out);
  return status == Z_STREAM_END;
}

}  // namespace

Result<bool> Decompressor::Step(std::span<const std::byte>& in, std::span<std::byte>& out) {
  if (state_->is_over) return true;
  auto over =
      state_->is_zlib ? StepZlib(state_->zlib, in, out) : StepZstd(state_->zstd.get(), in, out);
  state_->is_over = over && *over;
  return over;
}

}  // namespace ckpt

#pragma once

#include <zlib.h>

#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "format/compress/compress.h"
#include "tests/unit/format/hex.h"

namespace ckpt {

inline std::string Zstd(std::string_view text) {
  std::string frame(ZstdBound(text.size()), '\0');
  frame.resize(*CompressZstd(Bytes(text), 1, std::as_writable_bytes(std::span(frame))));
  return frame;
}

/// As numcodecs and other writers make them: `window_bits` 15 for zlib, 31 for gzip.
inline std::string Deflated(std::string_view text, int window_bits) {
  z_stream stream = {};
  CKPT_CHECK(deflateInit2(&stream, 1, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CKPT_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

inline std::string Compressed(Compression kind, std::string_view text) {
  switch (kind) {
    case Compression::kNone:
      return std::string(text);
    case Compression::kZstd:
      return Zstd(text);
    case Compression::kZlib:
      return Deflated(text, 15);
    case Compression::kGzip:
      return Deflated(text, 31);
    case Compression::kDeflate:
      return Deflated(text, -15);
  }
  CKPT_UNREACHABLE("all compressions are listed");
}

}  // namespace ckpt

#include "store/archive/plain_stream.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/units.h"

namespace ckpt {
namespace {

constexpr int kGzip = 16 + MAX_WBITS;  // of inflateInit2: a gzip header, and no other
constexpr std::array kGzipMagic = {std::byte{0x1f}, std::byte{0x8b}};
constexpr std::array kZipMagic = {std::byte{'P'}, std::byte{'K'}};

bool BeginsWith(std::span<const std::byte> bytes, std::span<const std::byte> magic) {
  return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

tl::unexpected<Error> DamagedGzip(std::string what) {
  return Fail(Code::kBadInput, std::move(what),
              "run again; if it stays, the archive is damaged where it lies");
}

}  // namespace

struct PlainStream::Inflater {
  z_stream stream{};
  bool is_in_member = false;
};

PlainStream::PlainStream(SequentialReader& packed, uint64_t most_bytes)
    : packed_(packed), most_bytes_(most_bytes) {}

PlainStream::~PlainStream() {
  if (inflater_ != nullptr) inflateEnd(&inflater_->stream);
}

Result<std::unique_ptr<PlainStream>> PlainStream::Open(SequentialReader& packed,
                                                       uint64_t most_bytes) {
  std::unique_ptr<PlainStream> stream(new PlainStream(packed, most_bytes));
  CKPT_TRY_VOID(stream->Refill());
  if (stream->input_.empty()) return DamagedGzip("the archive is empty");
  if (BeginsWith(stream->input_, kZipMagic))
    return Fail(Code::kBadInput, "the archive is a zip file, not tar or tar.gz",
                "unpack it yourself, and convert from the folder");
  if (!BeginsWith(stream->input_, kGzipMagic)) return stream;
  auto inflater = std::make_unique<Inflater>();
  if (inflateInit2(&inflater->stream, kGzip) != Z_OK)
    return Fail(Code::kResources, "zlib cannot begin", "run again with more memory for the system");
  inflater->is_in_member = true;
  stream->inflater_ = std::move(inflater);
  return stream;
}

uint64_t PlainStream::packed_position() const { return packed_.position() - input_.size(); }

Result<void> PlainStream::Refill() {
  CKPT_CHECK(input_.empty());
  if (is_at_end_) return {};
  CKPT_TRY(input_, packed_.Next());
  is_at_end_ = input_.empty();
  return {};
}

Result<size_t> PlainStream::Read(std::span<std::byte> into) {
  CKPT_TRY(const size_t count, inflater_ == nullptr ? Copy(into) : Inflate(into));
  plain_bytes_ += count;
  if (plain_bytes_ > most_bytes_)
    return Fail(Code::kBadInput,
                fmt::format("the archive holds more than the {} bytes that it may", most_bytes_),
                "if it is what you expect, give --max-archive-bytes SIZE");
  return count;
}

Result<size_t> PlainStream::Copy(std::span<std::byte> into) {
  size_t done = 0;
  while (done < into.size()) {
    if (input_.empty()) CKPT_TRY_VOID(Refill());
    if (input_.empty()) break;
    const size_t count = std::min(input_.size(), into.size() - done);
    std::memcpy(into.data() + done, input_.data(), count);
    input_ = input_.subspan(count);
    done += count;
  }
  return done;
}

// False at the end of the object.
Result<bool> PlainStream::BeginMember() {
  while (true) {
    if (input_.empty()) CKPT_TRY_VOID(Refill());
    if (input_.empty()) return false;
    const auto byte = std::find_if(input_.begin(), input_.end(),
                                   [](std::byte one) { return one != std::byte{0}; });
    input_ = input_.subspan(static_cast<size_t>(byte - input_.begin()));
    if (input_.empty()) continue;
    if (input_.front() != kGzipMagic.front())
      return DamagedGzip("bytes that are no gzip follow the archive");
    CKPT_CHECK(inflateReset(&inflater_->stream) == Z_OK);
    inflater_->is_in_member = true;
    return true;
  }
}

Result<size_t> PlainStream::Inflate(std::span<std::byte> into) {
  z_stream& stream = inflater_->stream;
  stream.next_out = reinterpret_cast<Bytef*>(into.data());
  stream.avail_out = static_cast<uInt>(into.size());
  while (stream.avail_out > 0) {
    if (!inflater_->is_in_member) {
      CKPT_TRY(const bool is_more, BeginMember());
      if (!is_more) break;
    }
    if (input_.empty()) CKPT_TRY_VOID(Refill());
    if (input_.empty()) return DamagedGzip("the archive is cut off: it ends within its gzip data");
    // zlib writes nothing through this pointer; its type is older than const.
    stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input_.data()));
    stream.avail_in = static_cast<uInt>(input_.size());
    const int status = inflate(&stream, Z_NO_FLUSH);
    input_ = input_.last(stream.avail_in);
    if (status == Z_STREAM_END) {
      inflater_->is_in_member = false;
    } else if (status == Z_MEM_ERROR) {
      return Fail(Code::kResources, "zlib has no memory",
                  "run again with more memory for the system");
    } else if (status != Z_OK && status != Z_BUF_ERROR) {
      return DamagedGzip(fmt::format("the archive's gzip data is damaged: {}",
                                     stream.msg != nullptr ? stream.msg : "no reason told"));
    }
  }
  return into.size() - stream.avail_out;
}

}  // namespace ckpt

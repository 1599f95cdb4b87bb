#include "store/kaggle/signed_file.h"

#include <fmt/format.h>

#include <utility>

#include "base/base64.h"
#include "base/text.h"
#include "store/http/http_object.h"
#include "store/hub/aging_reader.h"
#include "store/hub/probe.h"

namespace ckpt {
namespace {

tl::unexpected<Error> OtherFile(std::string what) {
  return Fail(Code::kBadInput, std::move(what), "run again; if it stays, name another version");
}

constexpr std::string_view kArchiveName = "archive";

// A signed address that was tried.
struct SignedAddress {
  http::Request request;
  uint64_t size_bytes = 0;
  GoogHash hash;
};

// `file`: "" is the whole version's archive.
Result<SignedAddress> SignAndProbe(const KaggleApi& api, const std::string& file) {
  SignedAddress address;
  CKPT_TRY(address.request.url, api.Sign(file));
  // A signed address is for one place; where it leads on is not for us.
  address.request.follows_redirects = false;
  CKPT_TRY(const Probe probe, AskFirstByte(*api.options().engine, address.request));
  if (!probe.has_ranges)
    return Fail(Code::kBadInput, "the storage of Kaggle sends no ranges",
                "check proxies on the way; or download the model, and convert from the folder");
  if (!probe.is_found())
    return Fail(ExplainKaggleStorage(api.Question(file), probe.response.status));
  address.size_bytes = probe.size_bytes;
  address.hash = ParseGoogHash(probe.response.headers);
  return address;
}

// Makes readers of one file; shared by its calls, so that all see the first one's sums.
struct KaggleOpening {
  std::shared_ptr<const KaggleApi> api;
  std::string file;
  ObjectInfo info;
  GoogHash hash;
  Uri place;

  Result<http::Request> Again() const {
    CKPT_TRY(SignedAddress address, SignAndProbe(*api, file));
    if (address.size_bytes != info.size_bytes)
      return OtherFile(fmt::format("the storage has {} bytes of the file, and had {}",
                                   address.size_bytes, info.size_bytes));
    if (address.hash != hash)
      return OtherFile("a new address of the file leads to another one: its sums differ");
    return std::move(address.request);
  }

  std::unique_ptr<ObjectReader> Open(http::Request request) const {
    http::ObjectRequest object;
    object.request = std::move(request);
    object.explain = [question = api->Question(file)](const http::Response& response) {
      return ExplainKaggleStorage(question, response.status);
    };
    object.renew = [self = *this] { return self.Again(); };
    return http::OpenHttpObject(api->options().engine, info, std::move(object), place);
  }
};

std::unique_ptr<ObjectReader> OpenSigned(const KaggleOpening& opening, http::Request first) {
  const auto again = [opening]() -> Result<std::unique_ptr<ObjectReader>> {
    CKPT_TRY(http::Request request,
             Result<http::Request>(opening.Again().map_error(
                 Where("file", Printable(opening.place.PrintBelow(opening.info.name))))));
    return opening.Open(std::move(request));
  };
  return OpenAgingReader(opening.info, again, opening.api->options().location_age,
                         opening.Open(std::move(first)));
}

}  // namespace

GoogHash ParseGoogHash(const http::Headers& headers) {
  GoogHash hash;
  for (const http::Header& header : headers) {
    if (Lower(header.name) != "x-goog-hash") continue;
    for (const std::string& part : Split(header.value, ',')) {
      const std::string_view sum = Trimmed(part);
      if (sum.starts_with("md5=")) hash.md5 = sum.substr(4);
      if (!sum.starts_with("crc32c=")) continue;
      const std::optional<std::string> bytes = DecodeBase64(sum.substr(7));
      if (!bytes || bytes->size() != 4) continue;
      uint32_t value = 0;
      for (const char byte : *bytes) value = (value << 8U) | static_cast<unsigned char>(byte);
      hash.crc32c = value;
    }
  }
  return hash;
}

Result<std::unique_ptr<ObjectReader>> OpenKaggleFile(std::shared_ptr<const KaggleApi> api,
                                                     ObjectInfo info, const Uri& place) {
  const auto here = Where("file", Printable(place.PrintBelow(info.name)));
  CKPT_TRY(SignedAddress address, SignAndProbe(*api, info.name).map_error(here));
  if (address.size_bytes != info.size_bytes)
    return Result<std::unique_ptr<ObjectReader>>(
               OtherFile(fmt::format("the storage has {} bytes of the file, the listing {}",
                                     address.size_bytes, info.size_bytes)))
        .map_error(here);
  if (address.hash.crc32c) info.crc32c = Crc32c(*address.hash.crc32c, info.size_bytes);
  const std::string file = info.name;
  return OpenSigned({std::move(api), file, std::move(info), address.hash, place},
                    std::move(address.request));
}

Result<KaggleArchive> OpenKaggleArchive(std::shared_ptr<const KaggleApi> api, const Uri& place) {
  CKPT_TRY(SignedAddress address, Result<SignedAddress>(SignAndProbe(*api, "").map_error(
                                      Where("file", Printable(place.PrintBelow(kArchiveName))))));
  ObjectInfo info{std::string(kArchiveName), address.size_bytes, {}, 0, std::nullopt};
  if (address.hash.crc32c) info.crc32c = Crc32c(*address.hash.crc32c, info.size_bytes);
  KaggleArchive archive;
  if (const std::optional<std::string> md5 = DecodeBase64(address.hash.md5);
      md5 && md5->size() == 16)
    archive.md5 = *md5;
  archive.reader = OpenSigned({std::move(api), "", std::move(info), address.hash, place},
                              std::move(address.request));
  return archive;
}

}  // namespace ckpt

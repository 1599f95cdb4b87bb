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

// A signed address that was tried.
struct SignedAddress {
  http::Request request;
  GoogHash hash;
};

Result<SignedAddress> SignAndProbe(const KaggleApi& api, const ObjectInfo& info) {
  SignedAddress address;
  CKPT_TRY(address.request.url, api.Sign(info.name));
  // A signed address is for one place; where it leads on is not for us.
  address.request.follows_redirects = false;
  CKPT_TRY(const Probe probe, AskFirstByte(*api.options().engine, address.request));
  if (!probe.has_ranges)
    return Fail(Code::kBadInput, "the storage of Kaggle sends no ranges",
                "check proxies on the way; or download the model, and convert from the folder");
  if (!probe.is_found())
    return Fail(ExplainKaggleStorage(api.Question(info.name), probe.response.status));
  if (probe.size_bytes != info.size_bytes)
    return OtherFile(fmt::format("the storage has {} bytes of the file, the listing {}",
                                 probe.size_bytes, info.size_bytes));
  address.hash = ParseGoogHash(probe.response.headers);
  return address;
}

// Makes readers of one file; shared by its calls, so that all see the first one's sums.
struct KaggleOpening {
  std::shared_ptr<const KaggleApi> api;
  ObjectInfo info;
  GoogHash hash;
  Uri place;

  Result<http::Request> Again() const {
    CKPT_TRY(SignedAddress address, SignAndProbe(*api, info));
    if (address.hash != hash)
      return OtherFile("a new address of the file leads to another one: its sums differ");
    return std::move(address.request);
  }

  std::unique_ptr<ObjectReader> Open(http::Request request) const {
    http::ObjectRequest object;
    object.request = std::move(request);
    object.explain = [question = api->Question(info.name)](const http::Response& response) {
      return ExplainKaggleStorage(question, response.status);
    };
    object.renew = [self = *this] { return self.Again(); };
    return http::OpenHttpObject(api->options().engine, info, std::move(object), place);
  }
};

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
  CKPT_TRY(SignedAddress address, SignAndProbe(*api, info).map_error(here));
  if (address.hash.crc32c) info.crc32c = Crc32c(*address.hash.crc32c, info.size_bytes);
  const std::chrono::milliseconds age = api->options().location_age;
  const KaggleOpening opening{std::move(api), info, address.hash, place};
  std::unique_ptr<ObjectReader> first = opening.Open(std::move(address.request));
  const auto again = [opening, here]() -> Result<std::unique_ptr<ObjectReader>> {
    CKPT_TRY(http::Request request, opening.Again().map_error(here));
    return opening.Open(std::move(request));
  };
  return OpenAgingReader(std::move(info), again, age, std::move(first));
}

}  // namespace ckpt

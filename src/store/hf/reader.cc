#include "store/hf/reader.h"

#include <fmt/format.h>

#include <future>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "store/hf/digest.h"
#include "store/hf/location.h"
#include "store/http/http_object.h"
#include "store/hub/aging_reader.h"

namespace ckpt {
namespace {

constexpr uint64_t kMostRequestBytes = 64 * kMiB;
constexpr uint64_t kStandInBytes = 64;

/// Looks at the bytes that another reader reads.
class CheckedReader final : public ObjectReader {
 public:
  CheckedReader(std::unique_ptr<ObjectReader> reader, HfFile file, ObjectInfo info, Uri place)
      : reader_(std::move(reader)),
        file_(std::move(file)),
        info_(std::move(info)),
        place_(std::move(place)) {}

  const ObjectInfo& info() const override { return info_; }

  IoFuture ReadWindow(ByteRange range, std::span<std::byte> window) override {
    IoFuture reading = reader_->ReadWindow(range, window);
    if (range.begin != 0 || range.empty()) return reading;
    // Looked at by the one who waits: no thread is needed for a glance at 64 bytes.
    return std::async(std::launch::deferred,
                      [this, size = range.size(), window,
                       reading = std::move(reading)]() mutable -> Result<void> {
                        CKPT_TRY_VOID(reading.get());
                        return CheckFirst(window.first(std::min(size, kStandInBytes)));
                      });
  }

  Result<void> Read(ByteRange range, std::span<std::byte> into) override {
    CKPT_TRY_VOID(reader_->Read(range, into));
    if (range.begin != 0 || range.empty()) return {};
    CKPT_TRY_VOID(CheckFirst(into.first(std::min<uint64_t>(into.size(), kStandInBytes))));
    if (range.size() != info_.size_bytes) return {};
    return CheckDigest(file_, into).map_error(Place());
  }

 private:
  std::function<Error(Error)> Place() const {
    return Where("file", Printable(place_.PrintBelow(info_.name)));
  }

  Result<void> CheckFirst(std::span<const std::byte> bytes) const {
    // char may look at any bytes
    const auto* text = reinterpret_cast<const char*>(bytes.data());
    const std::string_view stand_in = StandIn({text, bytes.size()});
    if (stand_in.empty()) return {};
    return Result<void>(Fail(Code::kBadInput, fmt::format("{} instead of the file", stand_in),
                             "the repository, a mirror or a proxy gives no real file: check "
                             "HF_ENDPOINT, or name another revision"))
        .map_error(Place());
  }

  const std::unique_ptr<ObjectReader> reader_;
  const HfFile file_;
  const ObjectInfo info_;
  const Uri place_;
};

// What a reader needs to ask for the file's address again and again.
struct Opening {
  std::shared_ptr<const HfApi> api;
  std::string commit;
  HfFile file;
  ObjectInfo info;
  Uri place;

  Result<std::unique_ptr<ObjectReader>> operator()() const {
    CKPT_TRY(const HfLocation location, Locate(*api, commit, file).map_error(Here()));
    http::ObjectRequest request;
    request.request = RequestAt(*api, location);
    // The Hub's own small files may be redirected once more within it; a signed address may not.
    request.request.follows_redirects = !location.is_of_storage;
    request.explain = [api = api, path = file.path,
                       is_of_storage = location.is_of_storage](const http::Response& response) {
      HfQuestion question = api->Question();
      question.file = path;
      question.is_of_storage = is_of_storage;
      return ExplainHf(question, response.status, response.headers, response.body);
    };
    if (location.is_of_storage)
      request.renew = [api = api, commit = commit, file = file]() -> Result<http::Request> {
        CKPT_TRY(const HfLocation again, Locate(*api, commit, file));
        return RequestAt(*api, again);
      };
    return http::OpenHttpObject(api->options().engine, info, std::move(request), place,
                                kMostRequestBytes);
  }

  std::function<Error(Error)> Here() const {
    return Where("file", Printable(place.PrintBelow(info.name)));
  }
};

}  // namespace

std::unique_ptr<ObjectReader> OpenHfFile(std::shared_ptr<const HfApi> api, std::string commit,
                                         HfFile file, ObjectInfo info, Uri place) {
  const std::chrono::milliseconds age = api->options().location_age;
  auto reader =
      OpenAgingReader(info, Opening{std::move(api), std::move(commit), file, info, place}, age);
  return std::make_unique<CheckedReader>(std::move(reader), std::move(file), std::move(info),
                                         std::move(place));
}

std::unique_ptr<ObjectReader> OpenCachedHfFile(std::unique_ptr<ObjectReader> cached, HfFile file,
                                               ObjectInfo info, Uri place) {
  return std::make_unique<CheckedReader>(std::move(cached), std::move(file), std::move(info),
                                         std::move(place));
}

}  // namespace ckpt

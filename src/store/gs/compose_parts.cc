#include "store/gs/compose_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "base/random.h"
#include "store/gs/remove_objects.h"
#include "store/gs/small_upload.h"

namespace ckpt::gs {
namespace {

class ComposeParts final : public PartSink {
 public:
  ComposeParts(Client& client, std::string object, std::string_view temporary, std::string id,
               size_t parts)
      : client_(client), object_(std::move(object)), session_{true, std::move(id)} {
    if (session_.id.empty()) session_.id = fmt::format("{:016x}", RandomBits());
    folder_ = ScratchFolder(temporary, session_);
    temporary_.reserve(parts);
    for (size_t i = 0; i < parts; ++i) temporary_.push_back(fmt::format("{}/{:05}", folder_, i));
  }

  Session session() const override { return session_; }

  http::Request PartRequest(size_t part, UploadBuffer& buffer, const Crc32c& crc32c) override {
    return SmallUploadRequest(client_, temporary_[part], "0", buffer, crc32c);
  }

  Result<std::string> TakeAnswer(const http::Response& response) override {
    // 412: made by an earlier try, or by another process of this session, with the same bytes.
    if (response.status == 200 || response.status == 201 || response.status == 412)
      return std::string();
    return Fail(client_.ExplainAtOnce(response, kCreateObjects));
  }

  // A part is an object like any other, and may always be made.
  bool IsGone(const http::Response& /*response*/) const override { return false; }

  Result<ObjectMeta> Complete(std::span<const std::string> /*tags*/, const Crc32c& crc32c,
                              bool is_create_only) override {
    std::vector<std::string> sources = temporary_;
    for (int level = 1; sources.size() > kMostComposed; ++level) {
      std::vector<std::string> next;
      for (size_t begin = 0; begin < sources.size(); begin += kMostComposed) {
        const size_t count = std::min(kMostComposed, sources.size() - begin);
        std::string into = fmt::format("{}/level{}-{:05}", folder_, level, next.size());
        temporary_.push_back(into);
        CKPT_TRY(const http::Response response,
                 Compose(std::span(sources).subspan(begin, count), into, "0"));
        if (response.status == 404) return AcceptCompleted(client_, object_, crc32c);
        if (response.status != 200 && response.status != 412) return Failed(response);
        next.push_back(std::move(into));
      }
      sources = std::move(next);
    }
    CKPT_TRY(const std::string generation, GenerationToReplace(client_, object_, is_create_only));
    CKPT_TRY(const http::Response response, Compose(sources, object_, generation));
    if (response.status == 412) return AcceptEqual(client_, object_, crc32c);
    if (response.status == 404) return AcceptCompleted(client_, object_, crc32c);
    if (response.status != 200) return Failed(response);
    CKPT_TRY(ObjectMeta made, ParseObject(response.body).map_error(client_.At(object_)));
    return CheckMade(client_, std::move(made), crc32c);
  }

  void Abandon() override {
    std::vector<ObjectMeta> objects(temporary_.size());
    for (size_t i = 0; i < objects.size(); ++i) objects[i].name = std::move(temporary_[i]);
    temporary_.clear();
    const Result<void> removed = RemoveObjects(client_, std::move(objects));
    if (!removed)
      client_.Warn(fmt::format("temporary objects may be left below {}/: {}",
                               client_.Print(folder_), removed.error().what));
  }

 private:
  Result<http::Response> Compose(std::span<const std::string> sources, const std::string& into,
                                 const std::string& generation) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const std::string& source : sources) list.push_back({{"name", source}});
    const std::string body =
        PrintJsonLine({{"sourceObjects", std::move(list)},
                       {"destination", {{"contentType", "application/octet-stream"}}}});
    http::Request request = client_.Json("POST", "/" + http::PercentEncode(into) + "/compose",
                                         "ifGenerationMatch=" + generation);
    request.headers.push_back({"Content-Type", "application/json; charset=UTF-8"});
    request.body = std::as_bytes(std::span(body));
    return client_.Send(request).map_error(client_.At(object_));
  }

  Result<ObjectMeta> Failed(const http::Response& response) {
    return Result<ObjectMeta>(Fail(client_.Explain(response, kCreateObjects)))
        .map_error(client_.At(object_));
  }

  Client& client_;
  const std::string object_;
  Session session_;
  std::string folder_;
  std::vector<std::string> temporary_;  // the parts, then what was composed on the way
};

}  // namespace

std::unique_ptr<PartSink> MakeComposeParts(Client& client, std::string object,
                                           std::string_view temporary, std::string id,
                                           size_t parts) {
  return std::make_unique<ComposeParts>(client, std::move(object), temporary, std::move(id), parts);
}

}  // namespace ckpt::gs

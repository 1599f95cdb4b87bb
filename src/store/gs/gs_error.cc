#include "store/gs/gs_error.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <string>

#include "base/json_text.h"
#include "base/text.h"

namespace ckpt::gs {
namespace {

ServiceError FromJson(std::string_view body) {
  const nlohmann::json json = ParseJson(body);
  ServiceError error;
  if (!json.is_object()) return error;
  const auto inner = json.find("error");
  if (inner == json.end() || !inner->is_object()) return error;
  const auto text = [](const nlohmann::json& from, const char* key) {
    const auto found = from.find(key);
    return found != from.end() && found->is_string() ? found->get<std::string>() : "";
  };
  error.message = text(*inner, "message");
  const auto list = inner->find("errors");
  if (list != inner->end() && list->is_array() && !list->empty() && list->front().is_object())
    error.reason = text(list->front(), "reason");
  if (error.reason.empty()) error.reason = text(*inner, "status");
  return error;
}

ServiceError FromXml(std::string_view body) {
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return {};
  const pugi::xml_node error = document.child("Error");
  return {error.child_value("Code"), error.child_value("Message")};
}

// "answered 403 (forbidden: no access)".
std::string Words(const http::Response& response, const ServiceError& error) {
  std::string words = fmt::format("Cloud Storage answered {}", response.status);
  if (error.reason.empty() && error.message.empty()) return words;
  return words + fmt::format(" ({}{}{})", Excerpt(error.reason),
                             error.reason.empty() || error.message.empty() ? "" : ": ",
                             Excerpt(error.message));
}

Error Denied(const Deed& deed, const Asker& asker, std::string words) {
  if (asker.is_anonymous) {
    return {Code::kNoCredential,
            fmt::format("may not {} in gs://{} without credentials: {}", deed.words, asker.bucket,
                        words),
            {},
            {},
            "run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"};
  }
  const std::string who = asker.principal.empty() ? "the credentials" : asker.principal;
  const std::string member =
      asker.principal.empty() ? "its account" : "\"" + asker.principal + "\"";
  return {Code::kDenied,
          fmt::format("{} may not {} in gs://{} ({} is missing): {}", who, deed.words, asker.bucket,
                      deed.permission, words),
          {},
          {},
          fmt::format("grant {} a role with {} on the bucket, such as roles/storage.objectUser",
                      member, deed.permission)};
}

}  // namespace

ServiceError ParseServiceError(std::string_view body) {
  const std::string_view text = Trimmed(body);
  if (text.starts_with('{')) return FromJson(text);
  if (text.starts_with('<')) return FromXml(text);
  return {};
}

bool IsRateLimit(const http::Response& response) {
  if (response.status != 403) return false;
  const std::string reason = Lower(ParseServiceError(response.body).reason);
  return reason == "ratelimitexceeded" || reason == "userratelimitexceeded" ||
         reason == "quotaexceeded" || reason == "slowdown";
}

Error ExplainStatus(const http::Response& response, const Deed& deed, const Asker& asker) {
  const ServiceError error = ParseServiceError(response.body);
  const std::string words = Words(response, error);
  const std::string bucket = "gs://" + asker.bucket;
  if (error.reason == "UserProjectMissing" || error.reason == "UserProjectAccessDenied" ||
      (response.status == 400 && error.message.find("requester pays") != std::string::npos)) {
    return {Code::kUsage,
            fmt::format("{} lets the requester pay, and no project was named that may: {}", bucket,
                        words),
            {},
            {},
            "name the project to be charged: --gcs-user-project PROJECT, or "
            "GOOGLE_CLOUD_QUOTA_PROJECT"};
  }
  if (IsRateLimit(response) || response.status == 429)
    return {Code::kTemporary, words, {}, {}, "try again later, or with fewer runs side by side"};
  switch (response.status) {
    case 401:
      if (asker.is_anonymous) return Denied(deed, asker, words);
      return {Code::kDenied,
              "the credentials are not accepted: " + words,
              {},
              {},
              "run gcloud auth application-default login, or check the clock and the key"};
    case 403:
      return Denied(deed, asker, words);
    case 404:
      return {Code::kNotFound,
              fmt::format("the bucket {} does not exist: {}", bucket, words),
              {},
              {},
              fmt::format("check the name, or make it: gcloud storage buckets create {} "
                          "--location=REGION",
                          bucket)};
    case 412:
      return {Code::kCannotCreate,
              "exists already, or was changed by another program meanwhile: " + words,
              {},
              {},
              "name another output, or replace this one with --overwrite"};
    default:
      break;
  }
  if (response.status >= 500 || response.status == 408)
    return {Code::kUnavailable, words, {}, {}, "try again later"};
  return {Code::kIo, fmt::format("cannot {}: {}", deed.words, words), {}, {}, "see the message"};
}

}  // namespace ckpt::gs

#include "base/json_text.h"

#include <nlohmann/json.hpp>

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

std::string Print(const Json& json, int indent) {
  return json.dump(indent, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace

nlohmann::json ParseJson(std::string_view text) {
  return nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
}

Json ParseOrderedJson(std::string_view text) {
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::string PrintJson(const Json& json) { return Print(json, 1); }

std::string PrintJsonLine(const Json& json) { return Print(json, -1); }

}  // namespace ckpt

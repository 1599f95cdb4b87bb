#include "target/jetstream_pytorch/params_json.h"

#include <nlohmann/json.hpp>

namespace ckpt {
namespace {

// Depth is bounded by the parser's caller: the text was read under the source's limits.
void Write(const nlohmann::ordered_json& value,
           std::string& text) {  // NOLINT(misc-no-recursion): see above
  if (value.is_object()) {
    text += '{';
    bool is_first = true;
    for (const auto& [key, member] : value.items()) {
      if (!is_first) text += ", ";
      is_first = false;
      text += nlohmann::json(key).dump(-1, ' ', true) + ": ";
      Write(member, text);
    }
    text += '}';
  } else if (value.is_array()) {
    text += '[';
    for (size_t i = 0; i < value.size(); ++i) {
      if (i > 0) text += ", ";
      Write(value[i], text);
    }
    text += ']';
  } else {
    text += value.dump(-1, ' ', true);
  }
}

}  // namespace

Result<std::string> DumpLikePython(std::string_view json) {
  const auto value = nlohmann::ordered_json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded())
    return Fail(Code::kBadInput, "params.json is not JSON", "fetch the file again");
  std::string text;
  Write(value, text);
  return text;
}

}  // namespace ckpt

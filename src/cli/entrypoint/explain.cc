
#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "cli/entrypoint/contract.h"

namespace ckpt::contract {
namespace {

using Json = nlohmann::ordered_json;

Json SourceJson(const Source& source) {
  Json json = {{"kind", Name(source.kind)}};
  switch (source.kind) {
    case Source::Kind::kKaggle:
      json["handle"] = Redacted(source.name);
      break;
    case Source::Kind::kHuggingface:
      json["repository"] = Redacted(source.name);
      break;
    case Source::Kind::kMeta:
      json["model_id"] = Redacted(source.name);
      break;
    case Source::Kind::kDirectory:
      json["path"] = Redacted(source.name);
      if (!source.mounted_at.empty()) json["mounted_at"] = source.mounted_at;
      break;
  }
  return json;
}

Json OrNull(const std::string& text) { return text.empty() ? Json() : Json(text); }

}  // namespace

std::string_view Name(Source::Kind kind) {
  switch (kind) {
    case Source::Kind::kKaggle:
      return "kaggle";
    case Source::Kind::kHuggingface:
      return "huggingface";
    case Source::Kind::kMeta:
      return "meta";
    case Source::Kind::kDirectory:
      return "directory";
  }
  return "";
}

std::string ExplainJson(const Contract& contract) {
  Json json;
  json["server"] = contract.server == Server::kMaxText ? kMaxTextServer : kPytorchServer;
  json["source"] = SourceJson(contract.source);
  if (contract.otherwise) json["source_otherwise"] = SourceJson(*contract.otherwise);
  json["family"] = contract.family;
  json["model"] = OrNull(contract.model);
  json["quantize"] = OrNull(contract.quantize);
  json["outputs"] = Json::object();
  for (const Output& output : contract.outputs) json["outputs"][output.role] = output.path;
  if (!contract.base_copy.empty()) json["base_copy"] = contract.base_copy;
  json["wait_for"] = Json::array();
  for (const Output& output : contract.outputs) {
    if (!output.final_line.empty()) json["wait_for"].push_back(output.final_line);
  }
  if (!contract.warnings.empty()) json["warnings"] = contract.warnings;
  return HideSecrets(PrintJson(json));
}

std::string ExplainJson(const Error& error) {
  Json json;
  json["error"] = {{"exit_code", ExitStatus(error.code)},
                   {"what", error.what},
                   {"details", error.details},
                   {"remedy", error.remedy}};
  return HideSecrets(PrintJson(json));
}

}  // namespace ckpt::contract

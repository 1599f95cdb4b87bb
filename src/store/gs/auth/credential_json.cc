#include "store/gs/auth/credential_json.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/json_text.h"
#include "base/text.h"
#include "store/gs/auth/credential_kinds.h"

namespace ckpt::gs {
namespace {

constexpr std::streamsize kMostSecretBytes = 1 << 20;

Result<std::unique_ptr<TokenSource>> MakeSource(const nlohmann::json& json, std::string scope,
                                                const TokenContext& context) {
  CKPT_TRY(const std::string type, FieldOf(json, "type"));
  if (type == "service_account") return MakeServiceAccount(json, std::move(scope), context);
  if (type == "authorized_user") return MakeAuthorizedUser(json, context);
  if (type == "external_account") return MakeExternalAccount(json, std::move(scope), context);
  if (type == "impersonated_service_account")
    return MakeImpersonated(json, std::move(scope), context);
  return Fail(Code::kNoCredential,
              "credentials of the type \"" + Excerpt(type) + "\" are not known",
              "use service_account, authorized_user, external_account or "
              "impersonated_service_account");
}

}  // namespace

Result<std::string> FieldOf(const nlohmann::json& json, const char* field) {
  std::string text = FieldOr(json, field, "");
  if (text.empty())
    return Fail(Code::kNoCredential, std::string("\"") + field + "\" is missing",
                "make the credential file again");
  return text;
}

std::string FieldOr(const nlohmann::json& json, const char* field, std::string other) {
  if (!json.is_object()) return other;
  const auto found = json.find(field);
  return found != json.end() && found->is_string() ? found->get<std::string>() : other;
}

Result<Secret> ReadSecretFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostSecretBytes, '\0');
  if (file) file.read(text.data(), kMostSecretBytes);
  if (file.bad() || (!file && !file.eof()))
    return Result<Secret>(
               Fail(Code::kNoCredential, "cannot be read", "check the path and its mode"))
        .map_error(Where("file", Printable(path)));
  text.resize(static_cast<size_t>(file.gcount()));
  return Secret(std::move(text));
}

Result<JsonCredentials> ParseCredentials(const Secret& json, std::string scope,
                                         const TokenContext& context) {
  const nlohmann::json parsed = ParseJson(json.Reveal());
  if (!parsed.is_object())
    return Fail(Code::kNoCredential, "is no JSON object", "make the credential file again");
  CKPT_TRY(std::unique_ptr<TokenSource> source, MakeSource(parsed, std::move(scope), context));
  return JsonCredentials{std::move(source), FieldOr(parsed, "quota_project_id", "")};
}

}  // namespace ckpt::gs

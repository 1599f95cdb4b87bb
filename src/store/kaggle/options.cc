#include "store/kaggle/options.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/base64.h"
#include "base/json_text.h"
#include "base/text.h"
#include "store/hub/credential.h"

namespace ckpt {
namespace {

using Found = std::optional<KaggleCredential>;

std::string JsonText(const nlohmann::json& json, const char* key) {
  if (!json.is_object()) return "";
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

Result<Found> FromJsonFile(const std::string& path) {
  CKPT_TRY(const std::optional<Secret> text, ReadSecretFile(path));
  if (!text) return Found();
  const nlohmann::json json = ParseJson(text->Reveal());
  const std::string user = JsonText(json, "username");
  const Secret key(JsonText(json, "key"));
  if (user.empty() || key.empty())
    return Fail(Code::kNoCredential, fmt::format("{} holds no username and key", Printable(path)),
                "download kaggle.json anew at https://www.kaggle.com/settings");
  return Found(KaggleCredential::OfKey(user, key, "the file " + Printable(path)));
}

// A secret that was made of two literals instead of kaggle.json.
Result<Found> FromTwoFiles(const std::string& folder) {
  CKPT_TRY(const std::optional<Secret> user, ReadSecretFile(folder + "/username"));
  CKPT_TRY(const std::optional<Secret> key, ReadSecretFile(folder + "/key"));
  if (!user || !key || user->empty() || key->empty()) return Found();
  return Found(KaggleCredential::OfKey(user->Reveal(), *key,
                                       "the files username and key in " + Printable(folder)));
}

Result<Found> FromTokens(const Environment& environment, const std::string& home,
                         std::vector<std::string>& looked) {
  looked.emplace_back("KAGGLE_API_TOKEN");
  Credential token = CredentialFromVariable(environment, "KAGGLE_API_TOKEN");
  if (token.secret.Reveal().starts_with('/')) {
    CKPT_TRY(token, CredentialFromFile(token.secret.Reveal()));
  }
  if (token.empty() && !home.empty()) {
    looked.push_back(home + "/access_token");
    CKPT_TRY(token, CredentialFromFile(home + "/access_token"));
  }
  if (token.empty()) return Found();
  return Found(KaggleCredential::OfToken(token.secret, token.source));
}

Result<Found> FromKeys(const Environment& environment, const std::string& home,
                       std::vector<std::string>& looked) {
  looked.emplace_back("KAGGLE_USERNAME and KAGGLE_KEY");
  const std::string user = VariableOr(environment, "KAGGLE_USERNAME");
  const Credential key = CredentialFromVariable(environment, "KAGGLE_KEY");
  if (!user.empty() && !key.empty())
    return Found(KaggleCredential::OfKey(user, key.secret, looked.back()));
  const std::string folder = VariableOr(environment, "KAGGLE_CONFIG_DIR", "/kaggle");
  looked.push_back(folder + "/kaggle.json");
  CKPT_TRY(Found found, FromJsonFile(looked.back()));
  if (found) return found;
  looked.push_back(folder + "/username and /key");
  CKPT_TRY(found, FromTwoFiles(folder));
  if (found || home.empty()) return found;
  looked.push_back(home + "/kaggle.json");
  return FromJsonFile(looked.back());
}

Result<void> SetEndpoints(const Environment& environment, KaggleOptions& options) {
  std::string given = VariableOr(environment, "KAGGLE_API_ENDPOINT");
  while (given.ends_with('/')) given.pop_back();
  const bool is_usual = given.empty() || given == "https://www.kaggle.com";
  const auto place = Where("variable", "KAGGLE_API_ENDPOINT");
  CKPT_TRY(options.procedures,
           http::Url::Parse(is_usual ? "https://api.kaggle.com/v1" : given + "/api/v1")
               .map_error(place));
  CKPT_TRY(
      options.paths,
      http::Url::Parse((is_usual ? "https://www.kaggle.com" : given) + "/api/v1").map_error(place));
  return {};
}

}  // namespace

KaggleCredential KaggleCredential::OfToken(const Secret& token, std::string source) {
  return {Secret("Bearer " + token.Reveal()), "", std::move(source), {}};
}

KaggleCredential KaggleCredential::OfKey(std::string user, const Secret& key, std::string source) {
  Secret basic("Basic " + EncodeBase64(user + ":" + key.Reveal()));
  return {std::move(basic), std::move(user), std::move(source), {}};
}

Result<KaggleOptions> KaggleOptionsFromEnvironment(const Environment& environment,
                                                   std::shared_ptr<http::Engine> engine) {
  KaggleOptions options;
  options.engine = std::move(engine);
  CKPT_TRY_VOID(SetEndpoints(environment, options));
  const std::string user_folder = VariableOr(environment, "HOME");
  const std::string home = user_folder.empty() ? "" : Below(user_folder, ".kaggle");
  std::vector<std::string> looked;
  CKPT_TRY(Found found, FromTokens(environment, home, looked));
  if (!found) {
    CKPT_TRY(found, FromKeys(environment, home, looked));
  }
  if (found) options.credential = *std::move(found);
  options.credential.looked = std::move(looked);
  options.cache_folder = VariableOr(environment, "KAGGLEHUB_CACHE");
  if (options.cache_folder.empty() && !user_folder.empty())
    options.cache_folder = Below(user_folder, ".cache/kagglehub");
  return options;
}

}  // namespace ckpt

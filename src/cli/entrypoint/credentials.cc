#include "cli/entrypoint/credentials.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <system_error>

#include "base/json_text.h"
#include "base/text.h"

namespace ckpt::contract {
namespace {

constexpr size_t kMostSecretBytes = 64 << 10;

// The file's text without blanks at its ends; nothing if there is no such file.
Result<std::optional<std::string>> ReadSecretFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<std::string>();
    if (errno != EACCES)
      return Fail(Code::kNoCredential,
                  fmt::format("{}: {}", Printable(path), std::generic_category().message(errno)),
                  "mount the secret again");
  }
  std::ifstream file(path, std::ios::binary);
  std::string text(kMostSecretBytes, '\0');
  if (!file) {
    const int error = errno;
    return Fail(
        Error{Code::kNoCredential,
              fmt::format("{} cannot be read: {}", Redacted(path),
                          std::generic_category().message(error)),
              {},
              {},
              "a secret of mode 0400 is readable by root only: run the container as user 0, "
              "or set the Pod's securityContext.fsGroup and the secret's defaultMode to 0440"});
  }
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad())
    return Fail(Code::kNoCredential, fmt::format("{} cannot be read", Printable(path)),
                "mount the secret again");
  text.resize(static_cast<size_t>(file.gcount()));
  return std::optional(std::string(Trimmed(text)));
}

std::string FolderOf(const Environment& environment, const char* variable, const char* usual) {
  const std::optional<std::string> folder = environment(variable);
  return folder && !folder->empty() ? *folder : usual;
}

Result<KaggleLogin> ParseKaggleJson(const std::string& path, const std::string& text) {
  const auto json = ParseJson(text);
  const auto field = [&](const char* key) {
    const auto found = json.is_object() ? json.find(key) : json.end();
    return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>()
                                                                         : std::string();
  };
  KaggleLogin login{field("username"), Secret(field("key"))};
  if (login.user.empty() || login.key.empty())
    return Fail(
        Code::kNoCredential, fmt::format("{} holds no username and key", Printable(path)),
        "download kaggle.json anew at https://www.kaggle.com/settings and make the secret of it");
  return login;
}

}  // namespace

Result<KaggleLogin> FindKaggleLogin(const Environment& environment) {
  const std::string folder = FolderOf(environment, "KAGGLE_CONFIG_DIR", "/kaggle");
  CKPT_TRY(const std::optional<std::string> json, ReadSecretFile(folder + "/kaggle.json"));
  if (json) return ParseKaggleJson(folder + "/kaggle.json", *json);
  CKPT_TRY(const std::optional<std::string> user, ReadSecretFile(folder + "/username"));
  CKPT_TRY(const std::optional<std::string> key, ReadSecretFile(folder + "/key"));
  if (user && key && !user->empty() && !key->empty()) return KaggleLogin{*user, Secret(*key)};
  const std::string given_user = environment("KAGGLE_USERNAME").value_or("");
  const std::string given_key = environment("KAGGLE_KEY").value_or("");
  if (!given_user.empty() && !given_key.empty()) return KaggleLogin{given_user, Secret(given_key)};
  const std::string token = environment("KAGGLE_API_TOKEN").value_or("");
  if (!token.empty()) return KaggleLogin{"", Secret(token)};
  return Fail(Code::kNoCredential,
              fmt::format("no Kaggle credential: {}/kaggle.json is not there", Printable(folder)),
              "kubectl create secret generic kaggle-secret --from-file=kaggle.json, mounted at "
              "/kaggle; or set "
              "KAGGLE_USERNAME and KAGGLE_KEY");
}

Result<Secret> FindHuggingfaceToken(const Environment& environment) {
  const std::string folder = FolderOf(environment, "HUGGINGFACE_TOKEN_DIR", "/huggingface");
  CKPT_TRY(const std::optional<std::string> token, ReadSecretFile(folder + "/HUGGINGFACE_TOKEN"));
  if (token && !token->empty()) return Secret(*token);
  return Secret(std::string(Trimmed(environment("HF_TOKEN").value_or(""))));
}

Result<Secret> FindMetaUrl(const Contract& contract) {
  if (!contract.meta_url.empty() || contract.meta_url_file.empty()) return contract.meta_url;
  const std::string& path = contract.meta_url_file;
  CKPT_TRY(const std::optional<std::string> text, ReadSecretFile(path));
  if (!text)
    return Fail(Code::kNoCredential, fmt::format("--meta_url_file {} is not there", Redacted(path)),
                "mount the secret, or give --meta_url");
  std::string url(Trimmed(std::string_view(*text).substr(0, text->find('\n'))));
  if (!url.starts_with("https://") && !url.starts_with("http://"))
    return Fail(Code::kNoCredential, fmt::format("--meta_url_file {} holds no URL", Redacted(path)),
                "request a link at https://www.llama.com/llama-downloads/ and put it there whole");
  return Secret(std::move(url));
}

}  // namespace ckpt::contract

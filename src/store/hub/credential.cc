#include "store/hub/credential.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

constexpr size_t kMostSecretFileBytes = 64 << 10;

class Fixed final : public http::Authorizer {
 public:
  explicit Fixed(Secret authorization) : authorization_(std::move(authorization)) {}
  Result<http::Headers> Authorize() override {
    return http::Headers{{"Authorization", authorization_.Reveal()}};
  }
  bool Renew() override { return false; }

 private:
  const Secret authorization_;
};

tl::unexpected<Error> Unreadable(const std::string& path, int error) {
  return Fail(
      Code::kNoCredential,
      fmt::format("{} cannot be read: {}", Printable(path), std::generic_category().message(error)),
      "a secret of mode 0400 is readable by its owner only: run the container as user 0, "
      "or set the Pod's securityContext.fsGroup and the secret's defaultMode to 0440");
}

}  // namespace

Result<std::optional<Secret>> ReadSecretFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::optional<Secret>();
    return Unreadable(path, errno);
  }
  if (!S_ISREG(info.st_mode)) return std::optional<Secret>();
  std::ifstream file(path, std::ios::binary);
  if (!file) return Unreadable(path, errno);
  std::string text(kMostSecretFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) return Unreadable(path, EIO);
  text.resize(static_cast<size_t>(file.gcount()));
  return std::optional(Secret(std::string(Trimmed(text))));
}

Result<Credential> CredentialFromFile(const std::string& path) {
  CKPT_TRY(std::optional<Secret> secret, ReadSecretFile(path));
  if (!secret || secret->empty()) return Credential();
  return Credential{*std::move(secret), "the file " + Printable(path)};
}

Credential CredentialFromVariable(const Environment& environment, const char* name) {
  const std::string value = VariableOr(environment, name);
  const std::string_view text = Trimmed(value);
  return text.empty() ? Credential() : Credential{Secret(std::string(text)), name};
}

std::string VariableOr(const Environment& environment, const char* name,
                       const std::string& otherwise) {
  const std::optional<std::string> value = environment(name);
  return value && !value->empty() ? *value : otherwise;
}

std::shared_ptr<http::Authorizer> FixedAuthorizer(Secret authorization) {
  return authorization.empty() ? nullptr : std::make_shared<Fixed>(std::move(authorization));
}

}  // namespace ckpt

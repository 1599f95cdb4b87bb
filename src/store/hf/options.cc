#include "store/hf/options.h"

#include <utility>

#include "base/text.h"

namespace ckpt {
namespace {

// As the official client reads its switches.
bool IsOn(const Environment& environment, const char* name) {
  const std::string word = Lower(VariableOr(environment, name));
  return word == "1" || word == "on" || word == "yes" || word == "true";
}

std::string HfHome(const Environment& environment) {
  if (std::string home = VariableOr(environment, "HF_HOME"); !home.empty()) return home;
  const std::string caches = VariableOr(environment, "XDG_CACHE_HOME");
  if (!caches.empty()) return Below(caches, "huggingface");
  const std::string user = VariableOr(environment, "HOME");
  return user.empty() ? "" : Below(user, ".cache/huggingface");
}

// The first of the places where the official client and the container look.
Result<Credential> ImplicitToken(const Environment& environment) {
  for (const char* name : {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}) {
    Credential found = CredentialFromVariable(environment, name);
    if (!found.empty()) return found;
  }
  const std::string home = HfHome(environment);
  for (const std::string& path :
       {Below(VariableOr(environment, "HUGGINGFACE_TOKEN_DIR", "/huggingface"),
              "HUGGINGFACE_TOKEN"),
        VariableOr(environment, "HF_TOKEN_PATH"), home.empty() ? "" : Below(home, "token")}) {
    if (path.empty()) continue;
    CKPT_TRY(Credential found, CredentialFromFile(path));
    if (!found.empty()) return found;
  }
  return Credential();
}

}  // namespace

Result<HfOptions> HfOptionsFromEnvironment(const Environment& environment,
                                           std::shared_ptr<http::Engine> engine, Credential given) {
  HfOptions options;
  options.engine = std::move(engine);
  CKPT_TRY(options.endpoint,
           http::Url::Parse(VariableOr(environment, "HF_ENDPOINT", "https://huggingface.co"))
               .map_error(Where("variable", "HF_ENDPOINT")));
  if (!given.empty()) {
    options.token = std::move(given);
  } else if (!IsOn(environment, "HF_HUB_DISABLE_IMPLICIT_TOKEN")) {
    CKPT_TRY(options.token, ImplicitToken(environment));
  }
  options.is_offline =
      IsOn(environment, "HF_HUB_OFFLINE") || IsOn(environment, "TRANSFORMERS_OFFLINE");
  options.cache_folder = VariableOr(environment, "HF_HUB_CACHE");
  if (const std::string home = HfHome(environment); options.cache_folder.empty() && !home.empty())
    options.cache_folder = Below(home, "hub");
  return options;
}

}  // namespace ckpt

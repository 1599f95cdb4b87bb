#include "cli/remote.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/plan_view.h"
#include "cli/signals.h"
#include "store/gs/auth/google_credentials.h"
#include "store/gs/gs_store.h"
#include "store/hf/hf_store.h"
#include "store/hub/credential.h"
#include "store/kaggle/kaggle_store.h"
#include "store/meta/meta_store.h"
#include "store/web/web_store.h"

namespace ckpt {
namespace {

constexpr std::chrono::milliseconds kStopCheck(50);
// Stands for the server that Meta's links name, for trials.
constexpr const char* kMetaEndpoint = "CKPT_META_ENDPOINT";
constexpr std::array<std::string_view, 6> kSchemes = {"gs",   "hf",    "kaggle",
                                                      "meta", "https", "http"};
// The last part of a path that is one file; all else is a folder.
constexpr std::array<std::string_view, 6> kFiles = {".safetensors", ".gguf", ".pth",
                                                    ".pt",          ".bin",  ".ckpt"};

bool IsFileName(std::string_view path) {
  return std::any_of(kFiles.begin(), kFiles.end(),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

// The folder and the file of a path that names one, else the path and "".
std::pair<std::string, std::string> CutFile(const std::string& path) {
  if (!IsFileName(path)) return {path, ""};
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

Remote::Remote(RemoteSettings settings, Environment environment)
    : settings_(std::move(settings)), environment_(std::move(environment)) {}
Remote::~Remote() { Stop(); }

bool Remote::IsRemote(const Uri& uri) {
  return std::find(kSchemes.begin(), kSchemes.end(), uri.scheme()) != kSchemes.end();
}

Result<std::shared_ptr<http::Engine>> Remote::Engine() {
  const std::lock_guard lock(mutex_);
  if (engine_) return engine_;
  http::EngineOptions options;
  options.connections = std::max(1U, settings_.connections);
  options.ca_bundle = settings_.ca_bundle;
  options.stop = stop_.get_token();
  for (const char* name :
       {"STORAGE_EMULATOR_HOST", "HF_ENDPOINT", "KAGGLE_API_ENDPOINT", kMetaEndpoint}) {
    std::string given = environment_(name).value_or("");
    if (given.empty()) continue;
    if (given.find("://") == std::string::npos) given.insert(0, "http://");
    CKPT_TRY(const http::Url url,
             Result<http::Url>(http::Url::Parse(given).map_error(Where("variable", name))));
    options.trusted_origins.push_back(url.Origin());
  }
  CKPT_TRY(engine_, http::Engine::Make(std::move(options)));
  // Signals wait until somebody asks for them, and while headers are read nobody does.
  stop_watch_ = std::jthread([this](const std::stop_token& end) {
    while (!end.stop_requested() && !IsStopPending()) std::this_thread::sleep_for(kStopCheck);
    if (!end.stop_requested()) Stop();
  });
  return engine_;
}

Result<std::shared_ptr<GoogleCredentials>> Remote::Google(
    const std::shared_ptr<http::Engine>& engine) {
  const std::lock_guard lock(credentials_mutex_);
  if (credentials_) return credentials_;
  GoogleCredentialOptions options;
  options.token_file = settings_.google_token_file;
  options.warn = [this](std::string_view warning) { Warn(warning); };
  CKPT_TRY(credentials_, FindGoogleCredentials(environment_, engine, std::move(options)));
  return credentials_;
}

void Remote::Warn(std::string_view warning) {
  const std::lock_guard lock(mutex_);
  warnings_.emplace_back(warning);
}

// Only of the scratch disk so far.
void Remote::Tell(std::string_view words) {
  {
    const std::lock_guard lock(mutex_);
    is_using_scratch_ = true;
  }
  if (settings_.tell) {
    settings_.tell(words);
  } else {
    PrintNotice(std::string(words));
  }
}

bool Remote::is_using_scratch() const {
  const std::lock_guard lock(mutex_);
  return is_using_scratch_;
}

Result<std::unique_ptr<Store>> Remote::OpenBucket(const Uri& root, MemoryBudget* budget,
                                                  const UploadBuffers& uploads) {
  CKPT_TRY(const std::shared_ptr<http::Engine> engine, Engine());
  CKPT_TRY(GsOptions options, GsOptionsFromEnvironment(environment_, engine));
  if (!settings_.user_project.empty()) options.user_project = settings_.user_project;
  CKPT_TRY(const std::optional<http::Url> emulator, GsEmulator(environment_));
  options.warn = [this](std::string_view warning) { Warn(warning); };
  if (!emulator && !settings_.is_anonymous) {
    CKPT_TRY(const std::shared_ptr<GoogleCredentials> credentials, Google(engine));
    UseCredentials(options, credentials);
  }
  options.budget = budget;
  if (uploads.part_bytes > 0) {
    options.part_bytes = uploads.part_bytes;
    options.open_segments = uploads.open_segments;
    options.parts_in_flight = uploads.parts_in_flight;
  }
  return OpenGsStore(root, std::move(options));
}

Result<SourcePlace> Remote::FindSource(const std::string& argument, MemoryBudget* budget) {
  CKPT_TRY(const Uri uri, Uri::Parse(argument));
  const std::string& scheme = uri.scheme();
  if (scheme == "gs") return FindInBucket(uri);
  if (scheme == "hf" || scheme == "file") return FindOnHub(argument);
  if (scheme == "kaggle") return FindOnKaggle(argument, budget);
  if (scheme == "meta") return FindBehindLink(argument.substr(argument.find("//") + 2));
  return FindOnWeb(argument);
}

Result<SourcePlace> Remote::FindInBucket(const Uri& uri) {
  const auto [folder, file] = CutFile(uri.path());
  CKPT_TRY(const Uri root, Uri::Parse(fmt::format("gs://{}/{}", uri.authority(), folder)));
  CKPT_TRY(std::unique_ptr<Store> store, OpenBucket(root, nullptr, {}));
  return SourcePlace{std::shared_ptr<Store>(std::move(store)), file};
}

Result<SourcePlace> Remote::FindOnHub(const std::string& argument) {
  CKPT_TRY(const std::shared_ptr<http::Engine> engine, Engine());
  CKPT_TRY(HfPlace place, HfPlace::Parse(argument));
  const std::string file = CutFile(place.folder).second;
  const Secret& token = settings_.credentials.hub_token;
  CKPT_TRY(HfOptions options,
           HfOptionsFromEnvironment(
               environment_, engine,
               token.empty() ? Credential() : Credential{token, "HF_TOKEN or the mounted secret"}));
  CKPT_TRY(std::unique_ptr<Store> store, OpenHfStore(std::move(place), std::move(options)));
  return SourcePlace{std::shared_ptr<Store>(std::move(store)), file};
}

Result<SourcePlace> Remote::FindOnKaggle(const std::string& argument, MemoryBudget* budget) {
  CKPT_TRY(const std::shared_ptr<http::Engine> engine, Engine());
  CKPT_TRY(const KaggleHandle handle, KaggleHandle::Parse(argument));
  CKPT_TRY(KaggleOptions options, KaggleOptionsFromEnvironment(environment_, engine));
  const Credentials& given = settings_.credentials;
  if (!given.kaggle_key.empty()) {
    constexpr const char* source = "the container's credential";
    options.credential = given.kaggle_user.empty()
                             ? KaggleCredential::OfToken(given.kaggle_key, source)
                             : KaggleCredential::OfKey(given.kaggle_user, given.kaggle_key, source);
  }
  options.scratch.folder = settings_.scratch;
  if (!settings_.max_archive_bytes.empty()) {
    CKPT_TRY(options.scratch.most_archive_bytes, ParseBytes(settings_.max_archive_bytes));
  }
  options.scratch.budget = budget;
  options.scratch.tell = [this](std::string_view words) { Tell(words); };
  CKPT_TRY(std::unique_ptr<Store> store, OpenKaggleStore(handle, std::move(options)));
  return SourcePlace{std::shared_ptr<Store>(std::move(store)), ""};
}

Result<SourcePlace> Remote::FindBehindLink(const std::string& model) {
  Secret text = settings_.credentials.meta_link;
  if (text.empty() && !settings_.meta_url_file.empty()) {
    CKPT_TRY(const Credential found, CredentialFromFile(settings_.meta_url_file));
    text = found.secret;
  }
  if (text.empty()) text = CredentialFromVariable(environment_, "META_URL").secret;
  if (text.empty())
    return Fail(Code::kNoCredential, "Meta's signed link is missing",
                "request one at https://www.llama.com/llama-downloads/, and give it as META_URL or "
                "--meta-url-file");
  CKPT_TRY(const std::shared_ptr<http::Engine> engine, Engine());
  if (const std::string stand_in = environment_(kMetaEndpoint).value_or(""); !stand_in.empty()) {
    const size_t path = text.Reveal().find("/*");
    text = Secret(stand_in + (path == std::string::npos ? "/*" : text.Reveal().substr(path)));
  }
  CKPT_TRY(const MetaLink link, MetaLink::Parse(text));
  CKPT_TRY(const MetaFolder folder, FolderOfModel(model));
  MetaOptions options;
  options.engine = engine;
  options.now = std::chrono::duration_cast<std::chrono::seconds>(
                    std::chrono::system_clock::now().time_since_epoch())
                    .count();
  CKPT_TRY(std::unique_ptr<Store> store, OpenMetaStore(link, folder, std::move(options)));
  return SourcePlace{std::shared_ptr<Store>(std::move(store)), ""};
}

Result<SourcePlace> Remote::FindOnWeb(const std::string& argument) {
  CKPT_TRY(const std::shared_ptr<http::Engine> engine, Engine());
  CKPT_TRY(const http::Url url, http::Url::Parse(argument));
  CKPT_TRY(std::string file, WebFileName(url));
  CKPT_TRY(std::unique_ptr<Store> store, OpenWebStore(url, engine));
  return SourcePlace{std::shared_ptr<Store>(std::move(store)), std::move(file)};
}

bool Remote::MayBeRepository(const std::string& argument) {
  return argument.find('/') != std::string::npos && !argument.starts_with('/') &&
         !argument.starts_with('.') && HfPlace::Parse(argument);
}

Result<std::shared_ptr<Store>> Remote::OpenDestination(const Uri& uri, MemoryBudget* budget,
                                                       const UploadBuffers& uploads) {
  if (uri.scheme() != "gs")
    return Fail(Code::kUsage, fmt::format("{}:// cannot be written to", uri.scheme()),
                "name a local folder or gs://BUCKET/FOLDER as DEST");
  CKPT_TRY(std::unique_ptr<Store> store, OpenBucket(uri, budget, uploads));
  return std::shared_ptr<Store>(std::move(store));
}

std::optional<NetworkFigures> Remote::figures() const {
  const std::lock_guard lock(mutex_);
  if (!engine_) return std::nullopt;
  const http::Counts counts = engine_->counts();
  return NetworkFigures{counts.requests, counts.received_bytes, counts.sent_bytes, counts.retries};
}

std::vector<std::string> Remote::TakeWarnings() {
  const std::lock_guard lock(mutex_);
  return std::exchange(warnings_, {});
}

}  // namespace ckpt

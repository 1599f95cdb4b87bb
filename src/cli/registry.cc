#include "cli/registry.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "base/text.h"
#include "store/null/null_store.h"
#include "target/hf/target.h"
#include "target/jetstream_pytorch/target.h"
#include "target/maxtext/target.h"

namespace ckpt {
namespace {

const JetstreamPytorchTarget kJetstreamPytorch;
const HfTarget kHf;
const MaxTextTarget kMaxText;
constexpr std::array<const Target*, 2> kTargets = {&kJetstreamPytorch, &kHf};
constexpr std::array<const ChunkedTarget*, 1> kChunkedTargets = {&kMaxText};

tl::unexpected<Error> UnknownScheme(const Uri& uri) {
  return Fail(Code::kUsage, fmt::format("{}:// is no place that can be reached", uri.scheme()),
              "name a local folder or file, gs://BUCKET/FOLDER, hf://ORG/NAME, "
              "kaggle://HANDLE, meta://MODEL or https://HOST/FILE");
}

std::string SchemeOf(const std::string& argument) {
  const Result<Uri> uri = Uri::Parse(argument);
  return uri ? uri->scheme() : "";
}

// A word that names nothing on this machine: the hub's error alone would not tell why it was asked.
Result<SourcePlace> FindRepository(const std::string& argument, Remote& remote) {
  return remote.FindSource(argument, nullptr).map_error([&](Error error) {
    error.details.push_back(
        fmt::format("{} is no file or folder here, so it was taken for a repository of the hub",
                    Printable(argument)));
    return error;
  });
}

Result<SourcePlace> NothingThere(const std::string& path, int error) {
  return Fail(error == EACCES ? Code::kDenied : Code::kNotFound,
              fmt::format("{}: {}", Printable(path), std::generic_category().message(error)),
              "name a folder with a checkpoint, a .safetensors or .gguf file, gs://BUCKET/FOLDER "
              "or a repository ORG/NAME of the Hugging Face hub");
}

}  // namespace

Result<IoMode> ParseIoMode(std::string_view word) {
  if (word == "auto") return IoMode::kAuto;
  if (word == "direct") return IoMode::kDirect;
  if (word == "buffered") return IoMode::kBuffered;
  return Fail(Code::kUsage,
              fmt::format("--io {} is none of auto, direct, buffered", Printable(word)),
              "leave it out");
}

bool IsSink(const std::string& argument) { return SchemeOf(argument) == "null"; }
bool IsUploadedTo(const std::string& argument) { return SchemeOf(argument) == "gs"; }

Result<std::shared_ptr<Store>> OpenDestination(const std::string& argument,
                                               const StoreAccess& access, MemoryBudget* budget,
                                               const UploadBuffers& uploads) {
  CKPT_TRY(const Uri uri, Uri::Parse(argument));
  if (uri.scheme() == "null") return std::shared_ptr<Store>(OpenNullStore());
  if (access.remote && Remote::IsRemote(uri))
    return access.remote->OpenDestination(uri, budget, uploads);
  if (uri.scheme() != "file") return UnknownScheme(uri);
  CKPT_TRY(std::unique_ptr<Store> store, OpenFileStore(uri, {.io_mode = access.io_mode}));
  return std::shared_ptr<Store>(std::move(store));
}

bool IsSameFolder(const Store& a, const Store& b) {
  if (a.root().scheme() != "file" || b.root().scheme() != "file")
    return a.KeepsObjects() && b.KeepsObjects() && a.root() == b.root();
  struct stat first {};
  struct stat second {};
  return a.KeepsObjects() && b.KeepsObjects() && stat(a.root().path().c_str(), &first) == 0 &&
         stat(b.root().path().c_str(), &second) == 0 && first.st_dev == second.st_dev &&
         first.st_ino == second.st_ino;
}

Result<SourcePlace> FindSource(const std::string& argument, const StoreAccess& access,
                               MemoryBudget* budget) {
  CKPT_TRY(const Uri uri, Uri::Parse(argument));
  if (access.remote && Remote::IsRemote(uri)) return access.remote->FindSource(argument, budget);
  if (uri.scheme() != "file") return UnknownScheme(uri);
  std::string path = uri.path();
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    const int error = errno;
    if (access.remote && error == ENOENT && Remote::MayBeRepository(argument))
      return FindRepository(argument, *access.remote);
    return NothingThere(path, error);
  }
  std::string object;
  if (!S_ISDIR(info.st_mode)) {
    while (path.size() > 1 && path.back() == '/') path.pop_back();
    const size_t slash = path.rfind('/');
    object = slash == std::string::npos ? path : path.substr(slash + 1);
    path = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  }
  CKPT_TRY(const Uri root, Uri::Parse(path));
  CKPT_TRY(std::unique_ptr<Store> store, OpenFileStore(root, {.io_mode = access.io_mode}));
  return SourcePlace{std::shared_ptr<Store>(std::move(store)), object};
}

const Target* FindTarget(std::string_view name) {
  for (const Target* target : kTargets) {
    if (target->name() == name) return target;
  }
  return nullptr;
}

const ChunkedTarget* FindChunkedTarget(std::string_view name) {
  for (const ChunkedTarget* target : kChunkedTargets) {
    if (target->name() == name) return target;
  }
  return nullptr;
}

std::vector<std::string> TargetNames() {
  std::vector<std::string> names;
  names.reserve(kChunkedTargets.size() + kTargets.size());
  for (const ChunkedTarget* target : kChunkedTargets) names.emplace_back(target->name());
  for (const Target* target : kTargets) names.emplace_back(target->name());
  return names;
}

}  // namespace ckpt

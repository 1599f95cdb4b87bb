#include "cli/entrypoint/stand_in.h"

#include <fmt/format.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/entrypoint/credentials.h"
#include "cli/entrypoint/names.h"
#include "cli/entrypoint/places.h"
#include "cli/paths.h"

namespace ckpt::contract {
namespace {

constexpr const char* kRootVariable = "CKPT_GS_ROOT";

bool IsReadableFolder(const std::string& path) {
  return IsFolder(path) && access(path.c_str(), R_OK | X_OK) == 0;
}

tl::unexpected<Error> NotYet(const Contract& contract, std::string what, std::string_view instead) {
  Error error{Code::kUnavailable, std::move(what), {}, {}, std::string(instead)};
  error.where.push_back({"source", Redacted(contract.source.name)});
  return Fail(std::move(error));
}

Result<void> AddDirectory(const Source& source, const Environment& environment,
                          std::vector<Candidate>& candidates) {
  if (!source.mounted_at.empty() && IsReadableFolder(source.mounted_at))
    candidates.push_back({source.mounted_at, source.mounted_at});
  Result<std::string> path =
      LocalPath(source.name, environment,
                "mount the bucket at the model path, give a local --input_directory, or set "
                "CKPT_GS_ROOT to a folder that stands for all buckets");
  if (path) {
    candidates.push_back({*std::move(path), source.name});
  } else if (candidates.empty()) {
    return Fail(std::move(path).error());
  }
  return {};
}

Result<void> AddOther(const Contract& contract, const Source& source,
                      const Environment& environment, std::vector<Candidate>& candidates) {
  switch (source.kind) {
    case Source::Kind::kDirectory:
      return AddDirectory(source, environment, candidates);
    case Source::Kind::kKaggle: {
      // A copy of an earlier download needs no credential.
      const Result<std::string> base = LocalPath(contract.base_copy, environment, "");
      if (!contract.base_copy.empty() && base && IsFolder(*base)) {
        const std::string variation = *base + "/" + Split(source.name, '/')[3];
        candidates.push_back({IsFolder(variation) ? variation : *base, contract.base_copy});
        return {};
      }
      CKPT_TRY_VOID(FindKaggleLogin(environment));
      return NotYet(
          contract, "Kaggle cannot be read by this version",
          "download the model, and give its folder as --input_directory (gs:// or local)");
    }
    case Source::Kind::kHuggingface:
      CKPT_TRY_VOID(FindHuggingfaceToken(environment));
      return NotYet(contract, "the Hugging Face hub cannot be read by this version",
                    fmt::format("hf download {} --local-dir DIR, and give --input_directory=DIR",
                                Redacted(source.name)));
    case Source::Kind::kMeta:
      CKPT_TRY_VOID(FindMetaUrl(contract));
      return NotYet(contract, "Meta's signed URL cannot be read by this version",
                    "download the model (or its Hugging Face form), and give its folder as "
                    "--input_directory");
  }
  return {};
}

}  // namespace

Result<std::string> LocalPath(std::string_view place, const Environment& environment,
                              std::string_view remedy) {
  if (!IsBucketUri(place)) return std::string(place);
  const std::string root = environment(kRootVariable).value_or("");
  if (root.empty())
    return Fail(
        Error{Code::kUnavailable,
              fmt::format("{} cannot be reached: buckets are not read or written by this version",
                          Redacted(place)),
              {},
              {},
              std::string(remedy)});
  const std::string collapsed = Collapsed(place);
  return fmt::format("{}/{}{}", Collapsed(root), BucketOf(collapsed), BehindBucket(collapsed));
}

Result<Candidates> FindCandidates(const Contract& contract, const Environment& environment) {
  Candidates candidates;
  Result<void> last = AddOther(contract, contract.source, environment, candidates.places);
  if (contract.otherwise)
    last = AddOther(contract, *contract.otherwise, environment, candidates.places);
  if (!last) {
    if (candidates.places.empty()) return Fail(std::move(last).error());
    candidates.beyond = std::move(last).error();
  }
  return candidates;
}

Result<std::string> FindDestination(const Contract& contract, const Environment& environment) {
  CKPT_TRY(std::string folder,
           LocalPath(contract.folder, environment,
                     "give a local --output_directory, or set CKPT_GS_ROOT to a folder that stands "
                     "for all buckets"));
  if (!IsBucketUri(contract.folder)) return folder;
  const std::string bucket = fmt::format("gs://{}", BucketOf(contract.folder));
  CKPT_TRY(const std::string root, LocalPath(bucket, environment, ""));
  if (!IsFolder(root))
    return Fail(Code::kCannotCreate, fmt::format("there is no bucket {}", bucket),
                fmt::format("mkdir -p {} (a bucket is never made silently)", Printable(root)));
  return folder;
}

}  // namespace ckpt::contract

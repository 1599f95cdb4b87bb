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

void AddDirectory(const Source& source, const Environment& environment,
                  std::vector<Candidate>& candidates) {
  if (!source.mounted_at.empty() && IsReadableFolder(source.mounted_at))
    candidates.push_back({source.mounted_at, source.mounted_at});
  candidates.push_back({Reached(source.name, environment), source.name});
}

// The copy that an earlier run of the original left in the bucket needs no credential. Whether a
// stand-in holds one is seen here, whether a bucket does when it is read.
bool AddBaseCopy(const Contract& contract, const Source& source, const Environment& environment,
                 std::vector<Candidate>& candidates) {
  if (contract.base_copy.empty()) return false;
  const std::string base = Reached(contract.base_copy, environment);
  const std::string variation = base + "/" + Split(source.name, '/')[3];
  const bool is_bucket = IsBucketUri(base);
  if (!is_bucket && !IsFolder(base)) return false;
  if (is_bucket || IsFolder(variation))
    candidates.push_back({variation, contract.base_copy, false});
  if (is_bucket || !IsFolder(variation)) candidates.push_back({base, contract.base_copy, false});
  return !is_bucket;
}

Result<void> AddPlaces(const Contract& contract, const Source& source,
                       const Environment& environment, Candidates& candidates) {
  switch (source.kind) {
    case Source::Kind::kDirectory:
      AddDirectory(source, environment, candidates.places);
      return {};
    case Source::Kind::kKaggle: {
      if (AddBaseCopy(contract, source, environment, candidates.places)) return {};
      CKPT_TRY(KaggleLogin login, FindKaggleLogin(environment));
      candidates.credentials.kaggle_user = std::move(login.user);
      candidates.credentials.kaggle_key = std::move(login.key);
      candidates.places.push_back({"kaggle://" + source.name, source.name});
      return {};
    }
    case Source::Kind::kHuggingface: {
      CKPT_TRY(candidates.credentials.hub_token, FindHuggingfaceToken(environment));
      candidates.places.push_back({"hf://" + source.name, source.name});
      return {};
    }
    case Source::Kind::kMeta: {
      CKPT_TRY(candidates.credentials.meta_link, FindMetaUrl(contract));
      candidates.places.push_back({"meta://" + source.name, source.name});
      return {};
    }
  }
  return {};
}

}  // namespace

std::string Reached(std::string_view place, const Environment& environment) {
  if (!IsBucketUri(place)) return std::string(place);
  const std::string root = environment(kRootVariable).value_or("");
  std::string collapsed = Collapsed(place);
  if (root.empty()) return collapsed;
  return fmt::format("{}/{}{}", Collapsed(root), BucketOf(collapsed), BehindBucket(collapsed));
}

Result<Candidates> FindCandidates(const Contract& contract, const Environment& environment) {
  Candidates candidates;
  Result<void> last = AddPlaces(contract, contract.source, environment, candidates);
  if (contract.otherwise) last = AddPlaces(contract, *contract.otherwise, environment, candidates);
  if (!last) {
    if (candidates.places.empty()) return Fail(std::move(last).error());
    candidates.beyond = std::move(last).error();
  }
  return candidates;
}

Result<std::string> FindDestination(const Contract& contract, const Environment& environment) {
  std::string folder = Reached(contract.folder, environment);
  if (!IsBucketUri(contract.folder) || IsBucketUri(folder)) return folder;
  const std::string bucket = fmt::format("gs://{}", BucketOf(contract.folder));
  const std::string root = Reached(bucket, environment);
  if (!IsFolder(root))
    return Fail(Code::kCannotCreate, fmt::format("there is no bucket {}", bucket),
                fmt::format("mkdir -p {} (a bucket is never made silently)", Printable(root)));
  return folder;
}

}  // namespace ckpt::contract

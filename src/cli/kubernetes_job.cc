#include "cli/kubernetes_job.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/checked.h"
#include "base/error.h"
#include "base/message_digest.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/machine.h"
#include "cli/paths.h"
#include "plan/memory.h"

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kContainer = "ckpt";
constexpr size_t kMostNameLetters = 63;
constexpr size_t kSourceLetters = 30;  // of a default name: the rest of it fits whatever the target
constexpr int kRetries = 3;
constexpr int kRetriesPerIndex = 6;  // each goes on where the last one stopped, so it is cheap
constexpr unsigned kIndexesPerLostOne = 10;
constexpr int kGraceSeconds = 30;
// The log and the termination message: outputs never lie on the container's own disk.
constexpr std::string_view kDisk = "1Gi";

// What a second run would only repeat (docs/exit-codes.md).
constexpr std::array<Code, 7> kFinalCodes = {
    Code::kUsage,        Code::kBadInput, Code::kNotFound,    Code::kInternal,
    Code::kCannotCreate, Code::kDenied,   Code::kNoCredential};

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Kubernetes replaces $(NAME) in arguments and reads $$ as $.
std::string Unexpanded(std::string_view word) {
  std::string text;
  for (const char c : word) text += c == '$' ? "$$" : std::string(1, c);
  return text;
}

Json Labels(const JobSpec& spec) {
  return {{"app.kubernetes.io/name", "ckpt"},
          {"app.kubernetes.io/instance", spec.name},
          {"app.kubernetes.io/version", spec.version},
          {"app.kubernetes.io/component", "conversion"},
          {"app.kubernetes.io/managed-by", "ckpt-manifest"}};
}

Json FailurePolicy() {
  Json codes = Json::array();
  for (const Code code : kFinalCodes) codes.push_back(ExitStatus(code));
  Json rules = Json::array();
  rules.push_back(
      {{"action", "FailJob"},
       {"onExitCodes", {{"containerName", kContainer}, {"operator", "In"}, {"values", codes}}}});
  Json conditions = Json::array();
  conditions.push_back({{"type", "DisruptionTarget"}});
  rules.push_back({{"action", "Ignore"}, {"onPodConditions", conditions}});
  return {{"rules", rules}};
}

// How often and side by side. Where more than a tenth of the indexes fail for good, it is no
// longer the machines: the Job ends, and what was done is kept.
Json Tries(const JobSpec& spec) {
  if (!spec.shards) return {{"backoffLimit", kRetries}};
  return {{"completionMode", "Indexed"},
          {"completions", spec.shards->count},
          {"parallelism", spec.shards->parallelism},
          {"backoffLimitPerIndex", kRetriesPerIndex},
          {"maxFailedIndexes", std::max(1U, spec.shards->count / kIndexesPerLostOne)}};
}

Json PodSecurity(const JobSpec& spec) {
  Json security = Json::object();
  if (spec.user) {
    security["runAsNonRoot"] = true;
    security["runAsUser"] = spec.user->user;
    security["runAsGroup"] = spec.user->group;
    security["fsGroup"] = spec.user->group;
    security["fsGroupChangePolicy"] = "OnRootMismatch";
  }
  security["seccompProfile"] = {{"type", "RuntimeDefault"}};
  return security;
}

Json ResourcesOf(const JobSpec& spec) {
  const uint64_t limit_mib = CeilDiv(spec.budget_bytes + kBesideBudgetBytes, kMiB);
  const std::string memory = fmt::format("{}Mi", limit_mib);
  return {
      {"requests",
       {{"cpu", std::to_string(spec.threads)}, {"memory", memory}, {"ephemeral-storage", kDisk}}},
      {"limits", {{"memory", memory}, {"ephemeral-storage", kDisk}}}};
}

Json Mounts(const JobSpec& spec) {
  Json mounts = Json::array();
  for (const JobFolder& folder : spec.folders) {
    Json mount = {{"name", spec.claim ? "claim" : folder.name}, {"mountPath", folder.path}};
    if (spec.claim) {
      const std::optional<std::string> below = PathBelow(folder.path, spec.claim->root);
      CKPT_CHECK(below.has_value());
      if (!below->empty()) mount["subPath"] = *below;
    }
    if (!folder.is_written) mount["readOnly"] = true;
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

Json Volumes(const JobSpec& spec) {
  Json volumes = Json::array();
  if (spec.claim) {
    if (!spec.folders.empty())
      volumes.push_back(
          {{"name", "claim"}, {"persistentVolumeClaim", {{"claimName", spec.claim->name}}}});
    return volumes;
  }
  for (const JobFolder& folder : spec.folders) {
    volumes.push_back({{"name", folder.name},
                       {"hostPath",
                        {{"path", folder.path},
                         {"type", folder.is_written ? "DirectoryOrCreate" : "Directory"}}}});
  }
  return volumes;
}

Json Container(const JobSpec& spec) {
  Json args = Json::array();
  for (const std::string& word : spec.args) args.push_back(Unexpanded(word));
  Json container = {{"name", kContainer},
                    {"image", spec.image},
                    {"imagePullPolicy", "IfNotPresent"},
                    {"args", args},
                    {"resources", ResourcesOf(spec)},
                    {"terminationMessagePolicy", "FallbackToLogsOnError"},
                    {"securityContext",
                     {{"allowPrivilegeEscalation", false},
                      {"readOnlyRootFilesystem", true},
                      {"capabilities", {{"drop", Json::array({"ALL"})}}}}}};
  if (Json mounts = Mounts(spec); !mounts.empty()) container["volumeMounts"] = std::move(mounts);
  return container;
}

}  // namespace

Json MakeJob(const JobSpec& spec) {
  Json metadata = {{"name", spec.name}};
  if (!spec.name_space.empty()) metadata["namespace"] = spec.name_space;
  metadata["labels"] = Labels(spec);
  Json pod = {{"restartPolicy", "Never"},
              {"terminationGracePeriodSeconds", kGraceSeconds},
              {"automountServiceAccountToken", false},
              {"enableServiceLinks", false},
              {"securityContext", PodSecurity(spec)},
              {"containers", Json::array({Container(spec)})}};
  if (Json volumes = Volumes(spec); !volumes.empty()) pod["volumes"] = std::move(volumes);
  Json body = Tries(spec);
  body["podFailurePolicy"] = FailurePolicy();
  body["template"] = {{"metadata", {{"labels", Labels(spec)}}}, {"spec", pod}};
  return {{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", metadata}, {"spec", body}};
}

std::string MemoryWord(uint64_t bytes) {
  return bytes % kMiB == 0 ? fmt::format("{}MiB", bytes / kMiB) : std::to_string(bytes);
}

Result<void> CheckJobName(std::string_view option, std::string_view name) {
  const bool is_word =
      !name.empty() && name.size() <= kMostNameLetters && name.front() != '-' &&
      name.back() != '-' &&
      std::all_of(name.begin(), name.end(), [](char c) { return IsLowerOrDigit(c) || c == '-'; });
  if (is_word) return {};
  return Fail(Code::kUsage,
              fmt::format("{} \"{}\" is no name that Kubernetes takes", option, Printable(name)),
              "give up to 63 small letters, digits and dashes, a letter or digit at both ends");
}

std::string DefaultJobName(std::string_view source, std::string_view target,
                           const std::vector<std::string>& args) {
  std::string stem;
  for (const char c : source.substr(source.rfind('/') + 1)) {
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
    if (IsLowerOrDigit(lower)) {
      stem += lower;
    } else if (!stem.empty() && stem.back() != '-') {
      stem += '-';
    }
  }
  stem.resize(std::min(stem.size(), kSourceLetters));
  while (stem.ends_with('-')) stem.pop_back();
  // A NUL ends no argument but the last: two lists of words never give one text.
  const std::string digest = Sha256Hex(fmt::format("{}", fmt::join(args, std::string(1, '\0'))));
  return fmt::format("ckpt-{}{}{}-{}", stem, stem.empty() ? "" : "-", target, digest.substr(0, 8));
}

}  // namespace ckpt

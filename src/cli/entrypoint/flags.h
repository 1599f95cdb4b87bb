#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::contract {

/// The flags of the container's contract: twelve of the original, then ours, which are long only.
enum class Flag {
  kBucketName,
  kInferenceServer,
  kModelPath,
  kModelName,
  kHuggingface,
  kQuantizeType,
  kQuantizeWeights,
  kVersion,
  kInputDirectory,
  kOutputDirectory,
  kMetaUrl,
  kHelp,
  kExplain,
  kDryRun,
  kOverwrite,
  kOutputs,
  kKeepBase,
  kMetaUrlFile,
  kMemory,
  kThreads,
  kLogFormat,
  kTerminationLog,
  kDtype,
  kMesh,
  kOrbaxLayout,
  kQuantLayout,
  kRopeLayout,
  kCompression,
  kSourceFormat,
  kFamily,
  kBundleSize,
  kIo,
  kShard,
  kShards,
  kVerifyResume,
  kConnections,
  kCaBundle,
  kGcsUserProject,
  kGcsTokenFile,
  kGcsAnonymous,
  kScratch,
  kMaxArchiveBytes,
};

enum class FlagKind {
  kText,
  kSecret,   ///< its value is never shown
  kBoolean,  ///< of the original: always takes a value
  kSwitch,   ///< ours: true alone, or with a boolean word
  kHelp,     ///< takes no value
};

struct FlagInfo {
  Flag flag;
  std::string_view name;     ///< "bucket_name"
  std::string_view letters;  ///< one-letter spellings of any version: "o2"; "" for ours
  FlagKind kind;
  std::string_view meaning;  ///< for the usage text
};

std::span<const FlagInfo> Flags();
const FlagInfo& Info(Flag flag);
/// Whether the flag is one of the original's twelve: only these have letters and prefixes.
bool IsOriginal(Flag flag);

/// By a letter; nullptr where there is none.
const FlagInfo* FindLetter(char letter);
/// By the whole name; dashes and underscores are the same. nullptr where there is none.
const FlagInfo* FindName(std::string_view name);
/// The original's flags that begin so.
std::vector<const FlagInfo*> FindPrefix(std::string_view name);

/// What help prints.
std::string UsageText(std::string_view program);

}  // namespace ckpt::contract

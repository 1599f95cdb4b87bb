#include "cli/entrypoint/flags.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/check.h"

namespace ckpt::contract {
namespace {

constexpr std::array<FlagInfo, 42> kFlags = {{
    {Flag::kBucketName, "bucket_name", "b", FlagKind::kText,
     "bucket without gs://; jetstream-maxtext needs it"},
    {Flag::kInferenceServer, "inference_server", "s", FlagKind::kText,
     "jetstream-maxtext (default) or jetstream-pytorch"},
    {Flag::kModelPath, "model_path", "m", FlagKind::kText,
     "Kaggle handle, Hugging Face repository, Meta model id, or where a bucket is mounted"},
    {Flag::kModelName, "model_name", "n", FlagKind::kText,
     "llama-2, llama-3, llama-3.1, llama-3.3 or gemma"},
    {Flag::kHuggingface, "huggingface", "h", FlagKind::kBoolean,
     "True: the model path is a Hugging Face repository"},
    {Flag::kQuantizeType, "quantize_type", "t", FlagKind::kText,
     "jetstream-maxtext: int8, int8w, int4w, intmp, fp8; jetstream-pytorch: int8_per_channel "
     "(default), int4_per_channel, int8_blockwise, int4_blockwise"},
    {Flag::kQuantizeWeights, "quantize_weights", "q", FlagKind::kBoolean,
     "True: also quantize the weights"},
    {Flag::kVersion, "version", "v", FlagKind::kText,
     "git tag of the server; any is accepted, the output serves all of them"},
    {Flag::kInputDirectory, "input_directory", "i1", FlagKind::kText,
     "gs:// or local directory with the model"},
    {Flag::kOutputDirectory, "output_directory", "o2", FlagKind::kText,
     "gs:// or local directory for the checkpoint"},
    {Flag::kMetaUrl, "meta_url", "u", FlagKind::kSecret,
     "Meta's signed URL; better: the variable META_URL from a secret"},
    {Flag::kHelp, "help", "x", FlagKind::kHelp, "this text"},
    {Flag::kExplain, "explain", "", FlagKind::kSwitch,
     "print what the arguments mean as JSON; touches nothing"},
    {Flag::kDryRun, "dry_run", "", FlagKind::kSwitch,
     "check everything, print the plan, write nothing"},
    {Flag::kOverwrite, "overwrite", "", FlagKind::kSwitch,
     "replace a checkpoint that lies at the output"},
    {Flag::kOutputs, "outputs", "", FlagKind::kText,
     "some of scanned,unscanned,quantized (default: all that apply)"},
    {Flag::kKeepBase, "keep_base", "", FlagKind::kSwitch,
     "also keep a copy of the download in gs://BUCKET/base"},
    {Flag::kMetaUrlFile, "meta_url_file", "", FlagKind::kText, "file that holds Meta's signed URL"},
    {Flag::kMemory, "memory", "", FlagKind::kText, "memory budget, such as 256MiB or 2GiB"},
    {Flag::kThreads, "threads", "", FlagKind::kText, "lanes side by side (default: the cores)"},
    {Flag::kLogFormat, "log_format", "", FlagKind::kText,
     "text (default) or json (or variable CKPT_LOG_FORMAT)"},
    {Flag::kTerminationLog, "termination_log", "", FlagKind::kText,
     "where the last message goes (default /dev/termination-log)"},
    {Flag::kDtype, "dtype", "", FlagKind::kText, "bfloat16 or float32, as of ckpt convert"},
    {Flag::kMesh, "mesh", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kOrbaxLayout, "orbax_layout", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kQuantLayout, "quant_layout", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kRopeLayout, "rope_layout", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kCompression, "compression", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kSourceFormat, "source_format", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kFamily, "family", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kBundleSize, "bundle_size", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kIo, "io", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kShard, "shard", "", FlagKind::kText, "as of ckpt convert: I/N or auto"},
    {Flag::kShards, "shards", "", FlagKind::kText,
     "as of ckpt convert: N, with JOB_COMPLETION_INDEX"},
    {Flag::kVerifyResume, "verify_resume", "", FlagKind::kSwitch, "as of ckpt convert"},
    {Flag::kConnections, "connections", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kCaBundle, "ca_bundle", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kGcsUserProject, "gcs_user_project", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kGcsTokenFile, "gcs_token_file", "", FlagKind::kText, "as of ckpt convert"},
    {Flag::kGcsAnonymous, "gcs_anonymous", "", FlagKind::kSwitch, "as of ckpt convert"},
    {Flag::kScratch, "scratch", "", FlagKind::kText,
     "folder to unpack a Kaggle model to that comes as one archive only"},
    {Flag::kMaxArchiveBytes, "max_archive_bytes", "", FlagKind::kText, "as of ckpt convert"},
}};

std::string Normal(std::string_view name) {
  std::string normal(name);
  std::replace(normal.begin(), normal.end(), '-', '_');
  return normal;
}

}  // namespace

std::span<const FlagInfo> Flags() { return kFlags; }

const FlagInfo& Info(Flag flag) {
  const FlagInfo& info = kFlags[static_cast<size_t>(flag)];
  CKPT_CHECK(info.flag == flag);
  return info;
}

bool IsOriginal(Flag flag) { return flag <= Flag::kHelp; }

const FlagInfo* FindLetter(char letter) {
  for (const FlagInfo& info : kFlags) {
    if (info.letters.find(letter) != std::string_view::npos) return &info;
  }
  return nullptr;
}

const FlagInfo* FindName(std::string_view name) {
  const std::string normal = Normal(name);
  for (const FlagInfo& info : kFlags) {
    if (info.name == normal) return &info;
  }
  return nullptr;
}

std::vector<const FlagInfo*> FindPrefix(std::string_view name) {
  const std::string normal = Normal(name);
  std::vector<const FlagInfo*> found;
  for (const FlagInfo& info : kFlags) {
    if (!normal.empty() && IsOriginal(info.flag) && info.name.starts_with(normal))
      found.push_back(&info);
  }
  return found;
}

std::string UsageText(std::string_view program) {
  std::string text = fmt::format(
      "Usage: {} --model_path=MODEL --bucket_name=BUCKET [flags]\n"
      "Converts a published model into the checkpoint that JetStream loads.\n\n",
      program);
  for (const FlagInfo& info : kFlags) {
    if (info.flag == Flag::kExplain) text += "\nNew here (long only):\n";
    std::string spelling = fmt::format("--{}", info.name);
    if (!info.letters.empty()) spelling = fmt::format("-{}, {}", info.letters[0], spelling);
    text += fmt::format("  {:<26}{}\n", spelling, info.meaning);
  }
  text += fmt::format(
      "\n-h is --huggingface, not help. Values follow = or a blank; every spelling of every "
      "version "
      "is taken.\n"
      "Other ways in: {0} convert|plan|inspect|verify|families --help\n"
      "Exit codes: 0 done, 64 arguments, 65 source damaged, 66 not found, 69 unavailable, 73 "
      "output "
      "cannot be made, 78 credential missing.\n",
      program);
  return text;
}

}  // namespace ckpt::contract

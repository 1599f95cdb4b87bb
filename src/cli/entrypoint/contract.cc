#include "cli/entrypoint/contract.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cli/entrypoint/interpreter.h"
#include "cli/entrypoint/places.h"

namespace ckpt::contract {
namespace {

constexpr std::array<std::string_view, 5> kMaxTextTypes = {"int8", "int8w", "int4w", "intmp",
                                                           "fp8"};
constexpr std::array<std::string_view, 4> kPytorchTypes = {"int8_per_channel", "int4_per_channel",
                                                           "int8_blockwise", "int4_blockwise"};

template <size_t N>
std::vector<std::string> Strings(const std::array<std::string_view, N>& words) {
  return {words.begin(), words.end()};
}

}  // namespace

bool IsKaggleHandle(const std::vector<std::string>& parts) {
  return (parts.size() == 5 || parts.size() == 4) &&
         std::none_of(parts.begin(), parts.end(),
                      [](const std::string& part) { return part.empty(); });
}

bool IsRepository(const std::vector<std::string>& parts) {
  return parts.size() == 2 && !parts[0].empty() && !parts[1].empty() && parts[0] != "." &&
         parts[0] != ".." && parts[1] != "." && parts[1] != "..";
}

Contract Interpreter::Run() {
  contract_.warnings = words_.warnings;
  contract_.notices = words_.notices;
  path_ = words_.Get(Flag::kModelPath);
  input_ = words_.Get(Flag::kInputDirectory);
  output_ = words_.Get(Flag::kOutputDirectory);
  name_ = words_.Get(Flag::kModelName);
  is_huggingface_ = Boolean(Flag::kHuggingface);
  is_quantizing_ = Boolean(Flag::kQuantizeWeights);
  contract_.is_explaining = Boolean(Flag::kExplain);
  contract_.is_dry_run = Boolean(Flag::kDryRun);
  contract_.is_overwriting = Boolean(Flag::kOverwrite);
  contract_.is_verifying_resume = Boolean(Flag::kVerifyResume);
  contract_.is_anonymous = Boolean(Flag::kGcsAnonymous);
  contract_.keeps_base = Boolean(Flag::kKeepBase);
  SettleMetaUrl();
  const bool is_known = SettleServer();
  SettleBucket(is_known);
  CheckPlace(Flag::kInputDirectory, input_);
  CheckPlace(Flag::kOutputDirectory, output_);
  if (path_.empty()) {
    faults_.Add("--model_path is missing: MODEL_PATH is empty, please provide the model path",
                "give --model_path=MODEL");
  } else if (LooksUnreplaced(path_)) {
    faults_.Add(
        fmt::format("--model_path {} is a placeholder that was not replaced", Redacted(path_)),
        std::string(kReplacePlaceholder));
  } else if (is_known) {
    if (contract_.server == Server::kMaxText) {
      SettleMaxText();
    } else {
      SettlePytorch();
    }
  }
  if (is_known) SettleQuantize();
  if (contract_.keeps_base && contract_.source.kind != Source::Kind::kKaggle)
    Warn("--keep_base has no effect: nothing is downloaded from Kaggle");
  NarrowOutputs();
  Say();
  return std::move(contract_);
}

bool Interpreter::Boolean(Flag flag) {
  const std::string& word = words_.Get(flag);
  const std::optional<bool> value = ParseBoolean(word);
  if (!value)
    faults_.Add(fmt::format("--{} {} is neither true nor false", Info(flag).name, Redacted(word)),
                fmt::format("give --{}=True or --{}=False", Info(flag).name, Info(flag).name));
  return value.value_or(false);
}

bool Interpreter::SettleServer() {
  const std::string& server = words_.Get(Flag::kInferenceServer);
  if (!server.empty() && !IsServer(server)) {
    faults_.Add(
        fmt::format("--inference_server {} is unknown", Redacted(server)),
        fmt::format("enter a valid inference server: {} or {}", kMaxTextServer, kPytorchServer));
    return false;
  }
  contract_.server = server == kPytorchServer ? Server::kPytorch : Server::kMaxText;
  return true;
}

void Interpreter::CheckBucketName(Flag flag, std::string_view bucket) {
  if (IsBucketName(bucket)) return;
  if (LooksUnreplaced(bucket)) {
    faults_.Add(
        fmt::format("--{}: the placeholder {} was not replaced", Info(flag).name, Redacted(bucket)),
        std::string(kReplacePlaceholder));
  } else {
    faults_.Add(fmt::format("--{}: {} is no legal name of a bucket", Info(flag).name,
                            bucket.empty() ? "an empty word" : Redacted(bucket)),
                "a bucket's name has 3 to 222 lower-case letters, digits, - _ and .");
  }
}

void Interpreter::SettleBucket(bool is_server_known) {
  std::string_view bucket = words_.Get(Flag::kBucketName);
  if (bucket.empty()) {
    if (is_server_known && contract_.server == Server::kMaxText)
      faults_.Add("--bucket_name is missing: BUCKET_NAME is empty, please provide a GSBucket",
                  "give --bucket_name=BUCKET");
    return;
  }
  const std::string_view given = bucket;
  if (IsBucketUri(bucket)) bucket.remove_prefix(std::string_view("gs://").size());
  while (bucket.starts_with('/')) bucket.remove_prefix(1);
  while (bucket.ends_with('/')) bucket.remove_suffix(1);
  CheckBucketName(Flag::kBucketName, bucket);
  if (bucket != given)
    Warn(fmt::format("--bucket_name {} is read as {}", Redacted(given), Redacted(bucket)));
  contract_.bucket = bucket;
}

void Interpreter::CheckPlace(Flag flag, const std::string& place) {
  if (place.empty()) return;
  const std::string_view name = Info(flag).name;
  if (IsBucketUri(place)) {
    const std::string collapsed = Collapsed(place);
    CheckBucketName(flag, BucketOf(collapsed));
    if (LooksUnreplaced(BehindBucket(collapsed)))
      faults_.Add(
          fmt::format("--{} {} holds a placeholder that was not replaced", name, Redacted(place)),
          std::string(kReplacePlaceholder));
  } else if (LooksUnreplaced(place)) {
    faults_.Add(
        fmt::format("--{} {} is a placeholder that was not replaced", name, Redacted(place)),
        std::string(kReplacePlaceholder));
  } else if (!IsLocal(place)) {
    std::string what =
        fmt::format("--{} {} is neither gs:// nor a local directory", name, Redacted(place));
    if (flag == Flag::kInputDirectory && place.find('/') == std::string::npos)
      what += ", and no inference server";
    faults_.Add(
        std::move(what),
        fmt::format("give --{0}=gs://BUCKET/FOLDER or --{0}=/FOLDER{1}", name,
                    flag == Flag::kInputDirectory
                        ? fmt::format("; the servers are {} and {}", kMaxTextServer, kPytorchServer)
                        : ""));
  }
}

void Interpreter::SettleMetaUrl() {
  contract_.meta_url = words_.meta_url;
  contract_.meta_url_file = words_.Get(Flag::kMetaUrlFile);
  std::string_view origin = "--meta_url";
  if (contract_.meta_url.empty() && contract_.meta_url_file.empty()) {
    contract_.meta_url = Secret(environment_("META_URL").value_or(""));
    origin = "the variable META_URL (for --meta_url)";
  }
  const std::string& url = contract_.meta_url.Reveal();
  if (!url.empty() && !url.starts_with("https://") && !url.starts_with("http://"))
    faults_.Add(fmt::format("{} holds no URL{}", origin,
                            LooksUnreplaced(url) ? ": the placeholder was not replaced" : ""),
                fmt::format("request a link at {} and give it whole", kMetaPage));
}

void Interpreter::UnknownName() {
  faults_.Add(fmt::format("--model_name {} is unknown", Redacted(name_)),
              DidYouMean(name_, ModelNames()));
}

void Interpreter::NoRepository() {
  faults_.Add(fmt::format("--model_path {} is no Hugging Face repository", Redacted(path_)),
              "a repository is named ORGANISATION/NAME");
}

void Interpreter::NoOutput() {
  faults_.Add("--output_directory is missing: where shall the checkpoint lie?",
              "give --output_directory=gs://BUCKET/FOLDER");
}

Source Interpreter::Directory(const std::string& place, const std::string& mount) {
  Source source{Source::Kind::kDirectory, place, ""};
  // A bucket that is mounted at the model path is read there.
  if (IsBucketUri(place) && mount.starts_with('/')) {
    const std::string rest(BehindBucket(place));
    source.mounted_at = (mount.ends_with('/') ? mount.substr(0, mount.size() - 1) : mount) + rest;
  }
  return source;
}

void Interpreter::TakeSource(std::optional<Source> source) {
  has_source_ = source || !input_.empty();
  if (!input_.empty()) {
    contract_.source = Directory(input_, path_);
    if (source && source->kind != Source::Kind::kDirectory) contract_.otherwise = std::move(source);
  } else if (source) {
    contract_.source = *std::move(source);
  }
}

void Interpreter::Add(std::string role, std::string path) {
  contract_.outputs.push_back({std::move(role), std::move(path)});
}

void Interpreter::SettleQuantize() {
  const std::string& type = words_.Get(Flag::kQuantizeType);
  if (!is_quantizing_) {
    if (!type.empty())
      Warn(fmt::format("--quantize_type {} has no effect without --quantize_weights=True",
                       Redacted(type)));
    return;
  }
  const bool is_maxtext = contract_.server == Server::kMaxText;
  const std::vector<std::string> types =
      is_maxtext ? Strings(kMaxTextTypes) : Strings(kPytorchTypes);
  if (type.empty() && !is_maxtext) {
    contract_.quantize = types.front();
    return;
  }
  if (type.empty()) {
    faults_.Add("--quantize_type is missing, and --quantize_weights is True",
                fmt::format("give --quantize_type: one of {}", fmt::join(types, ", ")));
  } else if (std::find(types.begin(), types.end(), type) == types.end()) {
    faults_.Add(fmt::format("--quantize_type {} is unknown to {}", Redacted(type),
                            is_maxtext ? kMaxTextServer : kPytorchServer),
                fmt::format("give --quantize_type: one of {}", fmt::join(types, ", ")));
  } else {
    contract_.quantize = type;
    if (is_maxtext && !quantized_below_.empty())
      Add("quantized", quantized_below_ + type + quantized_behind_);
  }
}

void Interpreter::NarrowOutputs() {
  const std::string& wanted = words_.Get(Flag::kOutputs);
  if (wanted.empty()) return;
  if (contract_.server == Server::kPytorch) {
    faults_.Add(fmt::format("--outputs is for {}", kMaxTextServer), "leave it out");
    return;
  }
  const std::vector<std::string> known = {"scanned", "unscanned", "quantized"};
  const std::vector<std::string> names = Split(wanted, ',');
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      faults_.Add(fmt::format("--outputs {} is unknown", Redacted(name)), DidYouMean(name, known));
    } else if (name == "quantized" && !is_quantizing_) {
      faults_.Add("--outputs names quantized, and --quantize_weights is not True",
                  "give --quantize_weights=True --quantize_type=TYPE");
    }
  }
  std::erase_if(contract_.outputs, [&](const Output& output) {
    return std::find(names.begin(), names.end(), output.role) == names.end();
  });
}

Contract Interpret(const Words& words, const Environment& environment, Faults& faults) {
  return Interpreter(words, environment, faults).Run();
}

}  // namespace ckpt::contract

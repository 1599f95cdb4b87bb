#include "cli/entrypoint/settings.h"

#include <fmt/format.h>

#include <charconv>

namespace ckpt::contract {
namespace {

// Any folder serves to check the words.
constexpr std::string_view kSomewhere = "/out";

void TakeCount(Flag flag, const Words& words, unsigned& count, Faults& faults) {
  const std::string& word = words.Get(flag);
  if (word.empty()) return;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), count);
  if (error != std::errc() || end != word.data() + word.size() || count == 0)
    faults.Add(
        fmt::format("--{} {} is no number of {}", Info(flag).name, Redacted(word), Info(flag).name),
        fmt::format("give --{}=4, or leave it out", Info(flag).name));
}

std::string OutputsOf(const Contract& contract) {
  std::string names;
  for (const Output& output : contract.outputs) {
    if (!names.empty()) names += ',';
    names += contract.ConvertName(output);
  }
  return names;
}

}  // namespace

Result<Arguments> Settle(const Contract& contract, const Words& words,
                         const Environment& environment, Faults& faults) {
  Arguments arguments;
  arguments.environment = environment;
  const bool is_maxtext = contract.server == Server::kMaxText;
  arguments.target = is_maxtext ? "maxtext" : "jetstream-pytorch";
  arguments.memory = words.Get(Flag::kMemory);
  arguments.bundle_size = words.Get(Flag::kBundleSize);
  arguments.dtype = words.Get(Flag::kDtype);
  arguments.mesh = words.Get(Flag::kMesh);
  arguments.orbax_layout = words.Get(Flag::kOrbaxLayout);
  arguments.quant_layout = words.Get(Flag::kQuantLayout);
  arguments.rope_layout = words.Get(Flag::kRopeLayout);
  arguments.compression = words.Get(Flag::kCompression);
  arguments.source_format = words.Get(Flag::kSourceFormat);
  arguments.family = words.Get(Flag::kFamily);
  if (words.Has(Flag::kIo)) arguments.io = words.Get(Flag::kIo);
  arguments.is_overwriting = contract.is_overwriting;
  // Where nothing is made, the index of the pod that will make it is not known.
  arguments.shard = {words.Get(Flag::kShard), words.Get(Flag::kShards),
                     !contract.is_explaining && !contract.is_dry_run};
  arguments.is_verifying_resume = contract.is_verifying_resume;
  TakeCount(Flag::kThreads, words, arguments.threads, faults);
  TakeCount(Flag::kConnections, words, arguments.remote.connections, faults);
  arguments.remote.ca_bundle = words.Get(Flag::kCaBundle);
  arguments.remote.user_project = words.Get(Flag::kGcsUserProject);
  arguments.remote.google_token_file = words.Get(Flag::kGcsTokenFile);
  arguments.remote.is_anonymous = contract.is_anonymous;
  arguments.remote.scratch = words.Get(Flag::kScratch);
  arguments.remote.max_archive_bytes = words.Get(Flag::kMaxArchiveBytes);
  if (is_maxtext) {
    // Without outputs something is wrong already, and said.
    arguments.outputs = contract.outputs.empty() ? "unscanned" : OutputsOf(contract);
    arguments.model_name = contract.model;
    arguments.state_name = contract.state_name;
  } else {
    arguments.quantize = contract.quantize;
    arguments.model_name = contract.model_name;
  }
  arguments.destination = kSomewhere;
  if (const Result<Settings> checked = ParseSettings(arguments); !checked)
    faults.AddAll(checked.error());
  CKPT_TRY_VOID(faults.Get());
  return arguments;
}

}  // namespace ckpt::contract

#include "cli/arguments.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/text.h"
#include "base/units.h"
#include "cli/chunked_arguments.h"
#include "cli/config_file.h"
#include "cli/faults.h"
#include "cli/machine.h"
#include "cli/paths.h"
#include "cli/registry.h"
#include "model/model.h"
#include "model/shards.h"
#include "plan/memory.h"
#include "run/band_kernel.h"
#include "run/scaled_store.h"
#include "run/tile_kernel.h"
#include "target/hf/target.h"

namespace ckpt {
namespace {

constexpr uint64_t kLeastBundle = kMiB;
constexpr uint64_t kLeastMaxShard = 1024;

// Options that only Hugging Face's form has.
void RefuseHfOptions(const Arguments& arguments, Faults& faults) {
  if (arguments.target == HfTarget::kName) return;
  const std::array<std::pair<std::string_view, bool>, 3> given = {{
      {"--ignore", !arguments.ignore.empty()},
      {"--ct-arithmetic", !arguments.ct_arithmetic.empty()},
      {"--max-shard-size", !arguments.max_shard_size.empty()},
  }};
  for (const auto& [option, is_given] : given) {
    if (is_given)
      faults.Add(fmt::format("{} is not for this target", option), "leave it out; hf has it");
  }
}

void ParseTarget(const Arguments& arguments, Settings& settings, Faults& faults) {
  const std::vector<std::string> names = TargetNames();
  settings.target = FindTarget(arguments.target);
  settings.chunked = FindChunkedTarget(arguments.target);
  if (settings.target != nullptr || settings.chunked != nullptr) RefuseHfOptions(arguments, faults);
  if (arguments.target.empty()) {
    faults.Add("--to is missing: which checkpoint shall be written?",
               fmt::format("give --to {}", fmt::join(names, " or --to ")));
  } else if (settings.chunked != nullptr) {
    ParseChunked(arguments, settings, faults);
    return;
  } else if (settings.target == nullptr) {
    faults.Add(fmt::format("--to {} is unknown", Printable(arguments.target)),
               DidYouMean(arguments.target, names));
  } else if (!arguments.quantize.empty()) {
    const std::span<const std::string> words = settings.target->quantizations();
    if (std::find(words.begin(), words.end(), arguments.quantize) == words.end())
      faults.Add(fmt::format("--quantize {} is unknown", Printable(arguments.quantize)),
                 DidYouMean(arguments.quantize, words));
  }
  RefuseChunkedOptions(arguments, faults);
  settings.target_settings = {arguments.quantize, arguments.is_dtype_preserved,
                              arguments.model_name};
  settings.target_settings.ignore = arguments.ignore;
  if (!arguments.ct_arithmetic.empty() && arguments.ct_arithmetic != "cpu" &&
      arguments.ct_arithmetic != "gpu")
    faults.Add(fmt::format("--ct-arithmetic {} is neither gpu nor cpu",
                           Printable(arguments.ct_arithmetic)),
               "leave it out: gpu rounds once");
  settings.target_settings.is_quotient_rounded = arguments.ct_arithmetic == "cpu";
  if (arguments.max_shard_size.empty()) return;
  const Result<uint64_t> bytes = ParseBytes(arguments.max_shard_size);
  if (!bytes) {
    faults.Take(bytes, "--max-shard-size");
  } else if (*bytes < kLeastMaxShard) {
    faults.Add(fmt::format("--max-shard-size {} is below 1 KiB", arguments.max_shard_size),
               "leave it out: 5 GB is what hubs expect");
  } else {
    settings.target_settings.max_shard_bytes = *bytes;
  }
}

void ParseResources(const Arguments& arguments, Settings& settings, Faults& faults) {
  Resources& resources = settings.plan.resources;
  resources.threads = arguments.threads > 0 ? arguments.threads : CoreCount();
  const uint64_t there = MachineMemoryBytes();
  resources.most_memory_bytes =
      std::max(there / 2, there - std::min<uint64_t>(there, kBesideBudgetBytes));
  resources.least_memory_bytes = DefaultMemoryBytes(CoreCount(), there);
  if (!arguments.memory.empty()) {
    const Result<uint64_t> bytes = ParseBytes(arguments.memory);
    if (!bytes) {
      faults.Take(bytes, "--memory");
    } else if (*bytes < kLeastMemoryBytes) {
      faults.Add(fmt::format("--memory {} is below the least budget of {}", FormatMemory(*bytes),
                             FormatMemory(kLeastMemoryBytes)),
                 "give --memory 128MiB or more");
    } else {
      resources.memory_bytes = *bytes;
    }
  }
  if (!arguments.bundle_size.empty()) {
    const Result<uint64_t> bytes = ParseBytes(arguments.bundle_size);
    if (!bytes) {
      faults.Take(bytes, "--bundle-size");
    } else if (*bytes < kLeastBundle) {
      faults.Add(fmt::format("--bundle-size {} is below 1 MiB", FormatMemory(*bytes)),
                 "leave it out, or give 1MiB or more");
    } else {
      settings.plan.bundle_bytes = *bytes;
    }
  }
  if (const std::string& most = arguments.remote.max_archive_bytes; !most.empty()) {
    const Result<uint64_t> bytes = ParseBytes(most);
    if (!bytes) faults.Take(bytes, "--max-archive-bytes");
  }
  settings.plan.resources.is_uploading = IsUploadedTo(arguments.destination);
  const Result<IoMode> io_mode = ParseIoMode(arguments.io);
  if (!io_mode) {
    faults.Take(io_mode, "--io");
  } else {
    settings.access.io_mode = *io_mode;
  }
}

// The configuration of a source that brings none: the user's file, or what the report of the run
// that made the source has kept, with the names that it was written by.
Result<KeptNames> AddConfig(const std::string& source, const Settings& settings, Catalog& catalog) {
  KeptNames kept;
  if (!settings.config_file.empty()) CKPT_TRY_VOID(UseConfigFile(settings.config_file, catalog));
  if (settings.target == nullptr || catalog.format != "orbax") return kept;
  CKPT_TRY(kept, UseReport(source, settings.access, catalog));
  if (settings.target->name() == HfTarget::kName && !settings.target_settings.model_name.empty())
    kept.model_name = settings.target_settings.model_name;
  return kept;
}

// A source whose headers are read, and what it is.
struct OpenedModel {
  SourcePlace place;
  Catalog catalog;
  Model model;
};
Result<OpenedModel> OpenModel(const std::string& source, const Settings& settings) {
  OpenedModel opened;
  // Headers are read, and archives unpacked, under the budget that the run will have at least.
  const Resources& resources = settings.plan.resources;
  MemoryBudget header_budget(resources.memory_bytes > 0 ? resources.memory_bytes
                                                        : resources.least_memory_bytes);
  CKPT_TRY(opened.place, FindSource(source, settings.access, &header_budget));
  opened.place.format = settings.source_format;
  CKPT_TRY(opened.catalog, OpenSource(opened.place, header_budget));
  CKPT_TRY(const KeptNames kept, AddConfig(source, settings, opened.catalog));
  CKPT_TRY_VOID(ReadScaledAsBF16(opened.place.store, opened.catalog));
  Result<Model> model = BindWith(opened.catalog, settings, kept);
  if (!model && !settings.config_file.empty())
    return Fail(Where("config", settings.config_file)(std::move(model).error()));
  if (!model) return Fail(std::move(model).error());
  opened.model = *std::move(model);
  return opened;
}

// The small files that the target carries along, where the source has them.
Result<std::vector<ObjectInfo>> FilesBeside(const SourcePlace& place, const Target& target) {
  std::vector<ObjectInfo> files;
  for (const std::string& name : target.CompanionNames()) {
    Result<ObjectInfo> file = place.store->Stat(name);
    if (file) {
      files.push_back(*std::move(file));
    } else if (file.error().code != Code::kNotFound) {
      return Fail(std::move(file).error());
    }
  }
  return files;
}

}  // namespace

void AddRemoteOptions(Options& options, RemoteSettings& remote) {
  options.Value("--connections", "N", remote.connections,
                "connections to remote stores, side by side (default: 16)");
  options.Value("--ca-bundle", "FILE", remote.ca_bundle,
                "certificates to trust instead of the system's");
  options.Value("--meta-url-file", "FILE", remote.meta_url_file,
                "holds Meta's signed link, for meta://MODEL (default: the variable META_URL)");
  options.Value("--gcs-user-project", "PROJECT", remote.user_project,
                "who pays for requests to a bucket of requester pays");
  options.Value("--gcs-token-file", "FILE", remote.google_token_file,
                "an access token, read again before it expires");
  options.Flag("--gcs-anonymous", remote.is_anonymous, "public buckets, without credentials");
}

void AddResourceOptions(Options& options, Arguments& arguments) {
  options.Value(
      "--memory", "SIZE", arguments.memory,
      "memory budget, such as 256MiB or 2GiB (default: 128 MiB for each core and two more)");
  options.Value("--threads", "N", arguments.threads,
                "lanes that work side by side (default: the cores)");
  options.Value("--io", "MODE", arguments.io, "auto, direct (past the page cache) or buffered");
  AddRemoteOptions(options, arguments.remote);
  options.Value(
      "--scratch", "DIR", arguments.remote.scratch,
      "a folder on a disk for a Kaggle model that comes as one archive only: it is unpacked "
      "there while this runs");
  options.Value("--max-archive-bytes", "SIZE", arguments.remote.max_archive_bytes,
                "the most that such an archive may hold (default: 20 times its own size, at least "
                "1GiB)");
  options.Value("--family", "FILE|NAME", arguments.family,
                "a family table to add or override (FILE.toml), or the name of the family to take");
  options.Value("--config", "FILE", arguments.config,
                "the model's config.json, where SOURCE has none (Orbax of foreign make, GGUF, "
                "Meta's files)");
  options.Value(
      "--source-format", "FORMAT", arguments.source_format,
      "safetensors, torch, gguf or orbax, where a folder holds several (default: the first that "
      "is there)");
}

void AddConversionOptions(Options& options, Arguments& arguments) {
  options.Value("--to", "TARGET", arguments.target,
                "what to write: " + fmt::format("{}", fmt::join(TargetNames(), ", ")));
  options.Value("--quantize", "TYPE", arguments.quantize,
                "jetstream-pytorch: int8_per_channel, int4_per_channel, int8_blockwise or "
                "int4_blockwise; hf: fp8-dynamic, w8a8, fp8-block, w4a16, w8a16, w8a16-channel or "
                "w4a16-asym (default: none, bf16)");
  options.Value("--model", "NAME", arguments.model_name,
                "the model's name (maxtext: llama3.1-8b and the like; settles the rotary layout)");
  AddChunkedOptions(options, arguments);
  options.Flag("--preserve-dtype", arguments.is_dtype_preserved,
               "keep F32 and F16 tensors as they are instead of rounding to bf16");
  options.Values("--ignore", "MODULE", arguments.ignore,
                 "hf: a module that --quantize leaves as it is, by name or \"re:\" and a regular "
                 "expression; as often as needed");
  options.Value("--ct-arithmetic", "KIND", arguments.ct_arithmetic,
                "hf: gpu (quotients in float32, the default) or cpu (rounded to bf16, as "
                "compressed-tensors does on a CPU)");
  options.Value("--max-shard-size", "SIZE", arguments.max_shard_size,
                "hf: the most that one file holds (default: 5GB)");
  options.Value("--bundle-size", "SIZE", arguments.bundle_size,
                "size of the units of work, at least 1MiB (default: 64 MiB, more for huge models)");
  options.Value("--shard", "I/N|auto", arguments.shard.shard,
                "do part I of N, counted from 0; auto: as a Slurm array or MPI says");
  options.Value("--shards", "N", arguments.shard.shards,
                "do one of N parts, that of JOB_COMPLETION_INDEX (a Kubernetes Indexed Job)");
  options.Flag("--verify-resume", arguments.is_verifying_resume,
               "read what an earlier run finished again, instead of trusting its size");
  AddResourceOptions(options, arguments);
}

Result<Settings> ParseSettings(const Arguments& arguments) {
  Settings settings;
  Faults faults;
  if (!arguments.target.empty() || !arguments.destination.empty())
    ParseTarget(arguments, settings, faults);
  ParseResources(arguments, settings, faults);
  if (!arguments.family.empty()) {
    if (arguments.family.find('/') != std::string::npos || arguments.family.ends_with(".toml") ||
        IsFile(arguments.family)) {
      settings.family_files.push_back(arguments.family);
    } else {
      settings.family_name = arguments.family;
    }
  }
  if (!arguments.source_format.empty()) {
    const std::vector<std::string> known = {"safetensors", "torch", "gguf", "orbax"};
    if (std::find(known.begin(), known.end(), arguments.source_format) == known.end())
      faults.Add(fmt::format("--source-format {} is unknown", Printable(arguments.source_format)),
                 DidYouMean(arguments.source_format, known));
    settings.source_format = arguments.source_format;
  }
  settings.config_file = arguments.config;
  settings.state_name = arguments.state_name;
  settings.shard = ParseShard(arguments.shard, arguments.environment, faults);
  settings.is_verifying_resume = arguments.is_verifying_resume;
  settings.access.remote = std::make_shared<Remote>(arguments.remote, arguments.environment);
  CKPT_TRY_VOID(faults.Get());
  return settings;
}

Result<Model> BindWith(Catalog& catalog, const Settings& settings, const KeptNames& kept) {
  CKPT_TRY(const auto families, LoadFamilies(settings.family_files));
  CKPT_TRY_VOID(JoinShards(families, settings.family_name, catalog));
  // The name of a server's model binds only where the target, or the user, asks for one.
  const ChunkedSettings& asked = settings.chunked_settings;
  return BindModel(
      families, catalog,
      {settings.family_name, asked.model_name.empty() ? kept.model_name : asked.model_name,
       asked.rope_layout.empty() ? kept.rope_layout : asked.rope_layout});
}

Result<PlannedChunkedRun> PlanChunkedRun(const std::string& source, const Settings& settings,
                                         bool keeps_sides) {
  PlannedChunkedRun run;
  CKPT_TRY(OpenedModel opened, OpenModel(source, settings));
  run.place = std::move(opened.place);
  std::vector<std::string> warnings;
  CKPT_TRY(std::vector<ChunkedOutput> outputs,
           settings.chunked->Describe(opened.model, settings.chunked_settings, warnings));
  Resources resources = settings.plan.resources;
  resources.source_held_bytes = run.place.store->held_bytes();
  CKPT_TRY(run.plan,
           MakeChunkedPlan(std::move(opened.catalog), std::move(opened.model), *settings.chunked,
                           std::move(outputs), settings.chunked_settings,
                           {resources, settings.plan.bundle_bytes, keeps_sides}));
  run.plan.state_name = settings.state_name;
  run.plan.warnings.insert(run.plan.warnings.end(), warnings.begin(), warnings.end());
  CKPT_TRY_VOID(CheckKernels(run.plan));
  run.budget = std::make_unique<MemoryBudget>(run.plan.memory.budget_bytes);
  return run;
}

Result<PlannedRun> PlanRun(const std::string& source, const Settings& settings) {
  PlannedRun run;
  CKPT_TRY(OpenedModel opened, OpenModel(source, settings));
  run.place = std::move(opened.place);
  CKPT_TRY(const std::vector<ObjectInfo> beside, FilesBeside(run.place, *settings.target));
  CKPT_TRY(OutputSpec output, settings.target->Describe(opened.model, opened.catalog, beside,
                                                        settings.target_settings));
  PlanOptions options = settings.plan;
  options.resources.is_reading_remote = run.place.store->root().scheme() != "file";
  options.resources.source_held_bytes = run.place.store->held_bytes();
  CKPT_TRY(run.plan, MakePlan(std::move(opened.catalog), std::move(opened.model), *settings.target,
                              std::move(output), settings.target_settings, options));
  CKPT_TRY_VOID(CheckKernels(run.plan));
  run.budget = std::make_unique<MemoryBudget>(run.plan.memory.budget_bytes);
  return run;
}

}  // namespace ckpt

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/environment.h"
#include "base/memory_budget.h"
#include "cli/config_file.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/registry.h"
#include "cli/shard.h"
#include "plan/chunked_plan.h"
#include "plan/plan.h"
#include "source/open.h"

namespace ckpt {

/// What `convert`, `plan` and `verify --source` share, as words of the command line.
struct Arguments {
  std::string source;
  std::string destination;
  std::string target;
  std::string quantize;
  std::string model_name;
  std::string state_name;     ///< of the run's own folder below .ckpt-state; "" for none
  std::string source_format;  ///< safetensors, gguf, orbax; "" where the files tell
  std::string family;         ///< a file to add, or the name of a family to take
  std::string memory;
  std::string bundle_size;
  std::string max_shard_size;
  std::vector<std::string> ignore;
  std::string ct_arithmetic;
  std::string config;                     ///< a file: the config.json of a source that has none
  std::string outputs;                    ///< "scanned,unscanned,int8"
  std::vector<std::string> output_paths;  ///< NAME=PATH
  std::string dtype;
  std::string compression;
  std::string orbax_layout;
  std::string quant_layout;
  std::string rope_layout;
  std::string mesh;  ///< "fsdp=16,tensor=4"
  std::string io = "auto";
  ShardWords shard;
  RemoteSettings remote;
  Environment environment = ReadEnvironment;
  unsigned threads = 0;
  bool is_dtype_preserved = false;
  bool is_overwriting = false;
  bool is_verifying_resume = false;
  bool is_quiet = false;
  bool is_json = false;
};

void AddConversionOptions(Options& options, Arguments& arguments);
void AddResourceOptions(Options& options, Arguments& arguments);
/// How remote places are reached: a part of AddResourceOptions, for verbs that need no more.
void AddRemoteOptions(Options& options, RemoteSettings& remote);

/// The settings of those words. All that is wrong at once. Errors: kUsage.
struct Settings {
  const Target* target = nullptr;  ///< null where `chunked` is the target
  TargetSettings target_settings;
  const ChunkedTarget* chunked = nullptr;
  ChunkedSettings chunked_settings;
  std::string destination;  ///< the common root of DEST and all outputs
  PlanOptions plan;
  StoreAccess access;
  std::string source_format;
  std::string config_file;
  std::string state_name;
  std::vector<std::string> family_files;
  std::string family_name;
  ShardChoice shard;
  /// Finished local bundles are read again before they are taken for finished.
  bool is_verifying_resume = false;
};
Result<Settings> ParseSettings(const Arguments& arguments);

/// A source opened and planned.
template <class PlanType>
struct Planned {
  SourcePlace place;
  PlanType plan;
  std::unique_ptr<MemoryBudget> budget;  ///< of plan.memory.budget_bytes
};
using PlannedRun = Planned<Plan>;
using PlannedChunkedRun = Planned<ChunkedPlan>;
Result<PlannedRun> PlanRun(const std::string& source, const Settings& settings);
/// The same for a chunked target. `keeps_sides`: the destination keeps nothing.
Result<PlannedChunkedRun> PlanChunkedRun(const std::string& source, const Settings& settings,
                                         bool keeps_sides);

/// What a catalog's model is, for the verbs that do not convert; joins the catalog's shards.
/// `kept`: the names that an output of ours was written by, for targets that take none.
Result<Model> BindWith(Catalog& catalog, const Settings& settings, const KeptNames& kept = {});

}  // namespace ckpt

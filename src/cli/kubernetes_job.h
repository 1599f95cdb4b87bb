#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ckpt {

/// A folder of the node or of a claim that the container sees under the same path.
struct JobFolder {
  std::string name;  ///< of its volume
  std::string path;  ///< absolute, in normal form, not "/"
  bool is_written = false;
};

/// A persistentVolumeClaim, and the folder that its root stands for.
struct JobClaim {
  std::string name;
  std::string root;  ///< every JobFolder is this folder, or lies below it
};

struct JobUser {
  uint64_t user = 0;
  uint64_t group = 0;
};

/// A Job of so many pods, each with an index: one part of the conversion each.
struct JobShards {
  unsigned count = 1;
  unsigned parallelism = 1;  ///< pods at one time, at most `count`
};

/// One conversion as a Kubernetes Job (batch/v1).
struct JobSpec {
  std::string name;
  std::string name_space;  ///< empty: left to whoever applies it
  std::string image;
  std::vector<std::string>
      args;  ///< as the program shall get them: MakeJob escapes what Kubernetes would expand
  std::vector<JobFolder> folders;
  std::optional<JobClaim> claim;    ///< nothing: folders of the node
  std::optional<JobUser> user;      ///< nothing: the image's, which is root
  std::optional<JobShards> shards;  ///< nothing: one pod does all
  uint64_t budget_bytes = 0;
  unsigned threads = 1;
  std::string version;
};

/// The Job. It never asks for an accelerator, ends at once on errors that a retry cannot mend, and
/// runs with a read-only root and no capabilities. With shards an Indexed Job: an index that fails
/// is tried again by itself, and goes on where it was; the others go on meanwhile.
nlohmann::ordered_json MakeJob(const JobSpec& spec);

/// "256MiB", or the bytes where they are no whole MiB: a word for --memory that says exactly this.
std::string MemoryWord(uint64_t bytes);

/// Refuses what Kubernetes would not take as the name of a Job, a claim or a namespace (a DNS
/// label of at most 63 letters). Errors: kUsage.
Result<void> CheckJobName(std::string_view option, std::string_view name);

/// A name for a conversion that nobody named: of the source's last folder, the target and the
/// arguments' digest, so that equal conversions have one name and others another.
std::string DefaultJobName(std::string_view source, std::string_view target,
                           const std::vector<std::string>& args);

}  // namespace ckpt

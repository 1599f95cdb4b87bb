#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json_text.h"
#include "base/text.h"
#include "base/units.h"
#include "cli/arguments.h"
#include "cli/conversion.h"
#include "cli/faults.h"
#include "cli/kubernetes_job.h"
#include "cli/machine.h"
#include "cli/paths.h"
#include "cli/plan_view.h"
#include "cli/shard_view.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "cli/yaml.h"
#include "plan/memory.h"

// A Job is what `convert` would do here, said to a cluster: the same words with absolute paths, the
// folders that they name, and the plan's own figures as resources. Budget and threads are always
// said, so that the pod's run is the one that was planned, whatever node it lands on.

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDefaultImage = "inference-checkpoint:latest";

// The words of --claim, --user and the names, as given.
struct JobWords {
  std::string image{kDefaultImage};
  std::string name;
  std::string name_space;
  std::string claim;
  std::string user;
  std::string parallelism;
};

// The path with all links followed, where it exists; else as given, from the root.
std::string Resolved(const fs::path& path) {
  std::error_code ignored;
  const fs::path absolute = fs::absolute(path, ignored);
  const fs::path canonical = fs::weakly_canonical(absolute, ignored);
  return NormalPath(ignored ? absolute : canonical);
}

bool IsLocal(const std::string& word) {
  const Result<Uri> uri = Uri::Parse(word);
  return uri && uri->scheme() == "file";
}

std::string LocalPath(const std::string& word) {
  const Result<Uri> uri = Uri::Parse(word);
  return uri && uri->scheme() == "file" ? uri->path() : std::string();
}

// Folders outside of `folder` that its entries link to: a downloader's cache keeps a model as
// links.
std::vector<std::string> LinkedFolders(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    std::error_code ignored;
    if (!at->is_symlink(ignored)) continue;
    const std::string target = Resolved(at->path());
    if (!fs::exists(target, ignored)) continue;  // the plan says what is missing
    found.push_back(IsFolder(target) ? target : FolderAbove(target));
  }
  return found;
}

// Sorted, each once, and none that lies below another.
std::vector<std::string> Outermost(std::vector<std::string> folders) {
  std::sort(folders.begin(), folders.end());
  std::vector<std::string> kept;
  for (std::string& folder : folders) {
    const bool is_covered = std::any_of(kept.begin(), kept.end(), [&](const std::string& outer) {
      return PathBelow(folder, outer).has_value();
    });
    if (!is_covered) kept.push_back(std::move(folder));
  }
  return kept;
}

// The words with every local path in full. A file keeps its own name: what lies beside it belongs
// to the model.
Arguments WithFullPaths(const Arguments& arguments) {
  Arguments full = arguments;
  if (IsLocal(full.source)) {
    const fs::path path = LocalPath(full.source);
    full.source =
        IsFolder(path) || !path.has_filename()
            ? Resolved(path)
            : NormalPath(fs::path(Resolved(fs::absolute(path).parent_path())) / path.filename());
  }
  if (IsLocal(full.destination)) full.destination = AbsolutePath(LocalPath(full.destination));
  for (std::string& word : full.output_paths) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos || !IsLocal(word.substr(equals + 1))) continue;
    word = word.substr(0, equals + 1) + AbsolutePath(LocalPath(word.substr(equals + 1)));
  }
  return full;
}

// The options that were given, in the order of --help: equal conversions give equal words.
std::vector<std::string> ConvertWords(const Options& options, const std::set<std::string>& own,
                                      const Arguments& full) {
  std::vector<std::string> words = {"convert", full.source, full.destination};
  for (const Options::Given& given : options.GetGiven()) {
    if (own.count(given.name) > 0) continue;
    std::vector<std::string> values = given.values;
    if (given.name == "output") values = full.output_paths;
    if (given.name == "family") values = {full.family};
    for (const std::string& value : values) {
      words.push_back(given.is_flag && value == "true" ? "--" + given.name
                                                       : fmt::format("--{}={}", given.name, value));
    }
  }
  return words;
}

void ParseUser(const std::string& word, JobSpec& job, Faults& faults) {
  if (word.empty()) return;
  JobUser user;
  const size_t colon = word.find(':');
  const auto parse = [](std::string_view text, uint64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() && number > 0 &&
           number <= INT32_MAX;
  };
  const std::string_view text = word;
  bool is_good = parse(text.substr(0, colon), user.user);
  user.group = user.user;
  if (colon != std::string::npos) is_good = is_good && parse(text.substr(colon + 1), user.group);
  if (is_good) {
    job.user = user;
  } else {
    faults.Add(fmt::format("--user {} is no user above 0", Printable(word)),
               "give numbers, such as --user 1000 or --user 1000:2000");
  }
}

void ParseWords(const JobWords& words, JobSpec& job, Faults& faults) {
  const auto take_name = [&](std::string_view option, const std::string& name) {
    if (name.empty()) return;
    const Result<void> good = CheckJobName(option, name);
    if (!good) faults.Add(good.error().what, good.error().remedy);
  };
  take_name("--name", words.name);
  take_name("--namespace", words.name_space);
  job.name = words.name;
  job.name_space = words.name_space;
  const bool has_image =
      !words.image.empty() && std::all_of(words.image.begin(), words.image.end(),
                                          [](unsigned char c) { return c > 0x20 && c < 0x7F; });
  if (!has_image)
    faults.Add(fmt::format("--image \"{}\" is no name of an image", Printable(words.image)),
               "give --image REGISTRY/NAME:TAG");
  job.image = words.image;
  ParseUser(words.user, job, faults);
  if (words.claim.empty()) return;
  const size_t colon = words.claim.find(':');
  job.claim = JobClaim{words.claim.substr(0, colon), {}};
  take_name("--claim", job.claim->name);
  if (job.claim->name.empty())
    faults.Add("--claim without a name", "give --claim NAME or --claim NAME:FOLDER");
  if (colon != std::string::npos) job.claim->root = Resolved(words.claim.substr(colon + 1));
}

// How many pods, and how many at one time.
void TakeShards(const JobWords& words, const Arguments& full, const Settings& settings,
                JobSpec& job, Faults& faults) {
  const bool has_shards = !full.shard.shards.empty();
  if (has_shards) job.shards = JobShards{settings.shard.count, settings.shard.count};
  if (words.parallelism.empty()) return;
  const char* const end = words.parallelism.data() + words.parallelism.size();
  unsigned pods = 0;
  const auto [at, error] = std::from_chars(words.parallelism.data(), end, pods);
  if (error != std::errc() || at != end || pods == 0) {
    faults.Add(fmt::format("--parallelism {} is no number of pods", Printable(words.parallelism)),
               "give --parallelism 4, or leave it out for all at one time");
  } else if (!has_shards) {
    faults.Add("--parallelism without --shards: one pod does all of the work",
               "give --shards N too");
  } else {
    job.shards->parallelism = std::min(pods, job.shards->count);
  }
}

// The folders that the words name, each once: source and family read only, the outputs' root to
// write.
void FindFolders(const Arguments& full, const Settings& settings, JobSpec& job, Faults& faults) {
  std::vector<std::string> read;
  if (IsLocal(full.source)) {
    const std::string folder = IsFolder(full.source) ? full.source : FolderAbove(full.source);
    read = LinkedFolders(folder);
    read.push_back(folder);
  }
  if (!settings.family_files.empty()) read.push_back(FolderAbove(full.family));
  size_t number = 0;
  for (std::string& folder : Outermost(std::move(read)))
    job.folders.push_back({fmt::format("source-{}", ++number), std::move(folder), false});
  const std::string& written =
      settings.chunked != nullptr ? settings.destination : full.destination;
  if (IsLocal(written)) job.folders.push_back({"destination", NormalPath(written), true});

  for (const JobFolder& folder : job.folders) {
    if (folder.path == "/" || folder.path.find(':') != std::string::npos)
      faults.Add(fmt::format("{} cannot be a folder of a pod", Printable(folder.path)),
                 folder.path == "/" ? "name places below one folder that is not /"
                                    : "name places without a colon");
  }
  if (!job.claim || job.folders.empty()) return;
  if (job.claim->root.empty()) {
    job.claim->root = job.folders.front().path;
    for (const JobFolder& folder : job.folders)
      job.claim->root = CommonFolder(job.claim->root, folder.path);
  }
  for (const JobFolder& folder : job.folders) {
    if (!PathBelow(folder.path, job.claim->root))
      faults.Add(fmt::format("{} does not lie in the claim's folder {}", Printable(folder.path),
                             Printable(job.claim->root)),
                 "give --claim NAME:FOLDER with the folder where the claim is mounted here");
  }
}

// The outputs' names, or how the one file is quantized.
std::string OutputWords(const Settings& settings) {
  if (settings.chunked != nullptr)
    return fmt::format("{}", fmt::join(settings.chunked_settings.outputs, ", "));
  const std::string& quantize = settings.target_settings.quantize;
  return quantize.empty() ? "not quantized" : quantize;
}

std::string Comments(const Arguments& full, const Settings& settings, const JobSpec& job,
                     const Conversion& conversion) {
  const Totals& totals = conversion.plan().totals;
  std::string text;
  const auto line = [&](const std::string& words) { text += YamlComment(words); };
  line(fmt::format("Made by ckpt manifest {}; start it with kubectl apply -f FILE.", kVersion));
  line("Figures of the plan, from the source's headers:");
  line(fmt::format("  in      {} bytes ({}), {}", totals.read_bytes, FormatBytes(totals.read_bytes),
                   SourceText(conversion.plan())));
  line(fmt::format("  out     {} bytes ({}), {}: {}, in {}", totals.written_bytes,
                   FormatBytes(totals.written_bytes), full.target, OutputWords(settings),
                   full.destination));
  line(fmt::format("  memory  {} at most of a budget of {}; the limit adds {} for the program",
                   FormatMemory(conversion.planned_peak_bytes()),
                   FormatMemory(conversion.budget_bytes()), FormatMemory(kBesideBudgetBytes)));
  line(fmt::format("  cpu     {} threads", job.threads));
  if (job.shards) {
    const ShardBalance balance = BalanceOf(conversion.ShardParts(job.shards->count));
    line(
        fmt::format("  pods    {}, {} at a time; each has memory and cpu as above, and moves {} to "
                    "{}",
                    job.shards->count, job.shards->parallelism, FormatBytes(balance.least_bytes),
                    FormatBytes(balance.most_bytes)));
  }
  line("  disk    none beside the output");
  if (!job.claim && !job.folders.empty())
    line("The folders are those of the node: on more than one, add a nodeSelector for it.");
  line(job.user ? fmt::format("It runs as user {}, group {}, who must be able to write in the "
                              "output's folder.",
                              job.user->user, job.user->group)
                : std::string("It runs as the image's user: root, but bound by the permissions of "
                              "files like any other; --user names another user."));
  return text;
}

class ManifestVerb final : public Verb {
 public:
  explicit ManifestVerb(CLI::App& root)
      : Verb(root, "manifest",
             "Print a Kubernetes Job that does what convert would do, sized by "
             "the plan; reads only headers") {
    options.Required("SOURCE", arguments_.source, "as for convert");
    options.Required("DEST", arguments_.destination, "as for convert, but not null:");
    AddConversionOptions(options, arguments_);
    options.Flag("--overwrite", arguments_.is_overwriting, "as for convert");
    options.Flag("--quiet", arguments_.is_quiet, "as for convert");
    options.Flag("--json", arguments_.is_json, "print the Job as JSON instead of YAML");
    AddOwn("--image", "NAME", words_.image, fmt::format("the image (default: {})", kDefaultImage));
    AddOwn("--name", "JOB", words_.name,
           "the Job's name (default: made of source, target and options)");
    AddOwn("--namespace", "NS", words_.name_space,
           "the Job's namespace (default: that of whoever applies it)");
    AddOwn("--claim", "NAME[:FOLDER]", words_.claim,
           "a persistentVolumeClaim instead of the node's folders, and the folder "
           "where it is mounted here (default: the deepest that holds all)");
    AddOwn("--user", "UID[:GID]", words_.user,
           "run as this user and group, and refuse root (default: the image's)");
    AddOwn("--parallelism", "P", words_.parallelism,
           "with --shards N: pods at one time (default: all N)");
  }

  Result<void> Run() override {
    Arguments full = WithFullPaths(arguments_);
    if (full.destination == "null:")
      return Fail(Code::kUsage, "a Job that keeps nothing: DEST is null:", "name a folder");
    JobSpec job;
    Faults faults;
    ParseWords(words_, job, faults);
    full.shard.needs_index = false;  // the pod has it
    if (full.shard.shard == "auto") {
      full.shard.shard.clear();
      faults.Add("--shard auto: a pod has no variables of Slurm or MPI",
                 "give --shards N for an Indexed Job");
    }
    Result<Settings> settings = ParseSettings(full);
    if (!settings) {
      faults.AddAll(settings.error());
      return faults.Get();
    }
    if (!settings->family_files.empty()) full.family = Resolved(full.family);
    TakeShards(words_, full, *settings, job, faults);
    if (!full.remote.scratch.empty())
      faults.Add("--scratch: the Job that manifest prints has no scratch disk",
                 "leave it out, and add its volume by hand: what convert refuses without --scratch "
                 "shows the lines");
    FindFolders(full, *settings, job, faults);
    CKPT_TRY_VOID(faults.Get());
    // The pod's default, whatever this machine has.
    Resources& resources = settings->plan.resources;
    resources.most_memory_bytes = std::numeric_limits<uint64_t>::max();
    resources.least_memory_bytes =
        DefaultMemoryBytes(resources.threads, resources.most_memory_bytes);
    // Beyond this point the words are good: only the source and the destination can be wrong.
    // A bucket is the pod's to look at: its account may be another, and here there may be none.
    Arguments planned = full;
    if (!IsLocal(full.destination)) planned.destination.clear();
    CKPT_TRY(const std::unique_ptr<Conversion> conversion, PrepareConversion(planned, *settings));
    if (conversion->destination) CKPT_TRY_VOID(conversion->CheckDestination(full.is_overwriting));

    job.budget_bytes = conversion->budget_bytes();
    job.threads = settings->plan.resources.threads;
    job.version = std::string(kVersion);
    job.args = ConvertWords(options, own_, full);
    job.args.push_back("--memory=" + MemoryWord(job.budget_bytes));
    job.args.push_back(fmt::format("--threads={}", job.threads));
    for (const std::string& word : job.args) {
      if (FirstInvalidUtf8(word) != std::string::npos)
        return Fail(Code::kUsage,
                    fmt::format("{} is no UTF-8, so no manifest can say it", Printable(word)),
                    "rename the folder");
    }
    if (job.name.empty()) job.name = DefaultJobName(full.source, full.target, job.args);
    PrintWarnings(conversion->plan().warnings);
    const nlohmann::ordered_json manifest = MakeJob(job);
    if (arguments_.is_json) {
      fmt::print("{}\n", PrintJson(manifest));
    } else {
      fmt::print("{}{}", Comments(full, *settings, job, *conversion), PrintYaml(manifest));
    }
    return {};
  }

 private:
  // An option that is about the Job: the container does not get it.
  void AddOwn(const std::string& name, const std::string& shown, std::string& value,
              const std::string& help) {
    own_.insert(name.substr(2));
    options.Value(name, shown, value, help);
  }

  Arguments arguments_;
  JobWords words_;
  std::set<std::string> own_{"help", "json", "memory", "threads"};
};

}  // namespace

std::unique_ptr<Verb> AddManifest(CLI::App& root) { return std::make_unique<ManifestVerb>(root); }

}  // namespace ckpt

#include "cli/shard.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/text.h"
#include "plan/shards.h"

namespace ckpt {
namespace {

constexpr const char* kJobIndex = "JOB_COMPLETION_INDEX";
constexpr const char* kArrayTask = "SLURM_ARRAY_TASK_ID";
constexpr const char* kArrayCount = "SLURM_ARRAY_TASK_COUNT";
constexpr const char* kArrayFirst = "SLURM_ARRAY_TASK_MIN";
constexpr const char* kArrayLast = "SLURM_ARRAY_TASK_MAX";
constexpr const char* kArrayStep = "SLURM_ARRAY_TASK_STEP";

constexpr std::string_view kShardRemedy =
    "give --shard I/N, such as --shard 0/8 for the first of eight parts, or --shard auto";

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

class Parser {
 public:
  Parser(const Environment& environment, Faults& faults)
      : environment_(environment), faults_(faults) {}

  ShardChoice Parse(const ShardWords& words) {
    if (!words.shard.empty() && !words.shards.empty()) {
      faults_.Add("--shard and --shards exclude each other",
                  "give --shard I/N, or --shards N in a Kubernetes Indexed Job");
    } else if (words.shard == "auto") {
      TakeAuto();
    } else if (!words.shard.empty()) {
      TakePart(words.shard);
    } else if (!words.shards.empty()) {
      TakeCount(words.shards, words.needs_index);
    } else {
      Notice();
    }
    return choice_;
  }

 private:
  // A variable that is set to something.
  std::optional<std::string> Get(const char* name) const {
    std::optional<std::string> value = environment_(name);
    if (value && value->empty()) value.reset();
    return value;
  }

  // A variable's number, `otherwise` where it is not set; a fault where it is no number.
  std::optional<uint64_t> GetNumber(const char* name,
                                    std::optional<uint64_t> otherwise = std::nullopt) {
    const std::optional<std::string> text = Get(name);
    if (!text) return otherwise;
    const std::optional<uint64_t> number = Number(*text);
    if (!number)
      faults_.Add(fmt::format("the variable {} holds no number: {}", name, Printable(*text)),
                  "give --shard I/N instead");
    return number;
  }

  bool IsCount(std::string_view option, std::string_view shown, std::optional<uint64_t> count) {
    if (count && *count > 0 && *count <= kMostShards) return true;
    faults_.Add(fmt::format("{} {} is no number of parts", option, Printable(shown)),
                fmt::format("a conversion has 1 to {} parts", kMostShards));
    return false;
  }

  // The part itself; `where` names who said so.
  void Take(std::string_view where, uint64_t index, uint64_t count, const std::string& remedy) {
    if (index >= count) {
      faults_.Add(fmt::format("{}: there is no part {} of {}; I counts from 0, so they are 0 to {}",
                              where, index, count, count - 1),
                  remedy);
      return;
    }
    choice_.index = static_cast<unsigned>(index);
    choice_.count = static_cast<unsigned>(count);
  }

  void TakePart(const std::string& word) {
    const size_t slash = word.find('/');
    const std::optional<uint64_t> index = Number(std::string_view(word).substr(0, slash));
    const std::optional<uint64_t> count = slash == std::string::npos
                                              ? std::nullopt
                                              : Number(std::string_view(word).substr(slash + 1));
    if (!index || !count) {
      faults_.Add(fmt::format("--shard {} is no part I/N", Printable(word)),
                  std::string(kShardRemedy));
    } else if (IsCount("--shard", word, count)) {
      Take(fmt::format("--shard {}", word), *index, *count,
           fmt::format("the last part is --shard {}/{}", *count - 1, *count));
    }
  }

  void TakeCount(const std::string& word, bool needs_index) {
    const std::optional<uint64_t> count = Number(word);
    if (!IsCount("--shards", word, count)) return;
    if (!needs_index) {
      choice_.count = static_cast<unsigned>(*count);
      choice_.has_index = false;
      return;
    }
    if (!Get(kJobIndex)) {
      faults_.Add(fmt::format("--shards {}: the variable {} is not set, so which part is this?",
                              word, kJobIndex),
                  "run it in a Kubernetes Job with completionMode: Indexed, or give --shard I/N");
    } else if (const std::optional<uint64_t> index = GetNumber(kJobIndex)) {
      Take(fmt::format("{} is {} with --shards {}", kJobIndex, *index, word), *index, *count,
           "give the Job's completions as --shards");
    }
  }

  void TakeAuto() {
    if (Get(kArrayTask)) return TakeArray();
    for (const auto& [rank, size] : {std::pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
                                     std::pair("PMI_RANK", "PMI_SIZE")}) {
      if (!Get(rank) || !Get(size)) continue;
      const std::optional<uint64_t> index = GetNumber(rank);
      const std::optional<uint64_t> count = GetNumber(size);
      if (index && count && IsCount(size, std::to_string(*count), count))
        Take(fmt::format("{} is {} of {}", rank, *index, *count), *index, *count,
             "give --shard I/N instead");
      return;
    }
    faults_.Add(
        fmt::format("--shard auto: none of {}, OMPI_COMM_WORLD_RANK and PMI_RANK is set",
                    kArrayTask),
        "run it in a Slurm array or under mpirun; in a Kubernetes Indexed Job give --shards "
        "N; elsewhere --shard I/N");
  }

  // A task of a Slurm array: --array=FIRST-LAST:STEP.
  void TakeArray() {
    if (!Get(kArrayCount)) {
      faults_.Add(fmt::format("--shard auto: {} is set and {} is not", kArrayTask, kArrayCount),
                  "give --shard I/N instead");
      return;
    }
    const std::optional<uint64_t> task = GetNumber(kArrayTask);
    const std::optional<uint64_t> count = GetNumber(kArrayCount);
    const std::optional<uint64_t> first = GetNumber(kArrayFirst, 0);
    const std::optional<uint64_t> step = GetNumber(kArrayStep, 1);
    if (!task || !count || !first || !step) return;  // said above
    if (!IsCount(kArrayCount, std::to_string(*count), count)) return;
    const std::optional<uint64_t> last = GetNumber(kArrayLast, *first + (*count - 1) * *step);
    if (!last) return;
    const bool is_even = *step > 0 && *task >= *first && (*task - *first) % *step == 0 &&
                         *last >= *first && (*last - *first) / *step + 1 == *count;
    if (!is_even) {
      faults_.Add(fmt::format("--shard auto: the {} tasks of this Slurm array are not numbered "
                              "evenly, so task {} is no certain part",
                              *count, *task),
                  fmt::format("give --array=0-{}, or --shard I/N", *count - 1));
      return;
    }
    Take(fmt::format("{} is {}", kArrayTask, *task), (*task - *first) / *step, *count,
         "give --shard I/N instead");
  }

  // Beside others, and told nothing of them: each does all of the work. No harm, but slow.
  void Notice() {
    const std::optional<std::string> task = Get(kArrayTask);
    const std::optional<std::string> count = Get(kArrayCount);
    if (task && Number(count.value_or("")).value_or(2) > 1) {
      choice_.notice = fmt::format(
          "this is task {} of a Slurm array, and it does all of the work; --shard auto shares it "
          "among the tasks",
          Printable(*task));
    } else if (const std::optional<std::string> index = Get(kJobIndex)) {
      choice_.notice = fmt::format(
          "this is index {} of an Indexed Job, and it does all of the work; --shards N, with the "
          "Job's completions, shares it among the pods",
          Printable(*index));
    }
  }

  const Environment& environment_;
  Faults& faults_;
  ShardChoice choice_;
};

}  // namespace

ShardChoice ParseShard(const ShardWords& words, const Environment& environment, Faults& faults) {
  return Parser(environment, faults).Parse(words);
}

}  // namespace ckpt

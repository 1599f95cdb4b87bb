#include "cli/entrypoint/entrypoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/text.h"
#include "cli/conversion.h"
#include "cli/entrypoint/job.h"
#include "cli/entrypoint/log.h"
#include "cli/entrypoint/settings.h"
#include "cli/entrypoint/termination.h"
#include "cli/guard.h"
#include "cli/watched.h"
#include "source/reading.h"

namespace ckpt::contract {
namespace {

constexpr std::array<std::string_view, 2> kNames = {"checkpoint_entrypoint.sh",
                                                    "checkpoint_converter.sh"};

// json only where it is asked for in a word that is known; a wrong word is a fault of its own.
Log::Format FormatOf(const Words& words, const Environment& environment, Faults& faults) {
  std::string word = words.Get(Flag::kLogFormat);
  if (word.empty()) word = environment("CKPT_LOG_FORMAT").value_or("");
  if (word == "json") return Log::Format::kJson;
  if (!word.empty() && word != "text")
    faults.Add(fmt::format("--log_format {} is unknown", Redacted(word)), "give text or json");
  return Log::Format::kText;
}

std::string TerminationText(const Error& error) {
  return HideSecrets(fmt::format("failed, exit {}\n{}\n", ExitStatus(error.code), error.Print()));
}

// What a conversion says in the words of the verbs, in those of the contract.
Error InContractWords(Error error) {
  constexpr std::string_view verbs = "--quantize ";
  constexpr std::string_view ours = "--quantize_type=";
  if (const size_t at = error.remedy.find(verbs); at != std::string::npos)
    error.remedy.replace(at, verbs.size(), ours);
  return error;
}

}  // namespace

bool IsAddressed(std::string_view program, std::span<const std::string> words,
                 std::span<const std::string> verbs) {
  if (!words.empty() && std::find(verbs.begin(), verbs.end(), words[0]) != verbs.end())
    return false;
  if (std::find(kNames.begin(), kNames.end(), BaseName(program)) != kNames.end()) return true;
  if (words.empty() || !words[0].starts_with('-')) return false;
  const bool is_ours = words[0] == "--help" || words[0] == "-h" || words[0] == "--version";
  return !(words.size() == 1 && is_ours);
}

int Run(std::string_view program, std::span<const std::string> arguments,
        const Environment& environment) {
  Faults flag_faults;
  const Words words = ParseWords(arguments, flag_faults);
  if (words.wants_help && flag_faults.Get()) {
    fmt::print("{}", UsageText(BaseName(program)));
    return std::fflush(stdout) == 0 ? 0 : ExitStatus(Code::kIo);
  }
  Faults faults = flag_faults;
  Log log(FormatOf(words, environment, faults));
  const Contract contract = Interpret(words, environment, faults);
  const Result<Arguments> settled = Settle(contract, words, environment, faults);
  const auto fail = [&](const Error& error) {
    log.Fail(error);
    // An explanation touches nothing that it was not told to.
    if (!contract.is_explaining || words.Has(Flag::kTerminationLog))
      LeaveTermination(words.Get(Flag::kTerminationLog), TerminationText(error));
    return ExitStatus(error.code);
  };
  if (!settled) {
    if (contract.is_explaining) fmt::print("{}\n", ExplainJson(settled.error()));
    return fail(settled.error());
  }
  if (contract.is_explaining) {
    fmt::print("{}\n", ExplainJson(contract));
    return std::fflush(stdout) == 0 ? 0 : ExitStatus(Code::kIo);
  }
  std::optional<int> told;
  const auto tell = [&](const Error& error) {
    if (!told) told = fail(InContractWords(AsStopped(error, "run the Job again")));
  };
  const Result<std::string> ended =
      Guarded<std::string>([&] { return RunJob(contract, *settled, environment, log, tell); });
  if (!ended) {
    tell(ended.error());
    return *told;
  }
  LeaveTermination(words.Get(Flag::kTerminationLog), *ended);
  // A log that did not arrive is a failure, not a success.
  return log.is_lost() ? ExitStatus(Code::kIo) : 0;
}

}  // namespace ckpt::contract

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "cli/entrypoint/entrypoint.h"
#include "cli/guard.h"
#include "cli/machine.h"
#include "cli/signals.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "cli/watched.h"

namespace ckpt {
namespace {

constexpr std::string_view kFooter =
    "\nA first conversion:\n"
    "  ckpt inspect MODEL_FOLDER\n"
    "  ckpt convert MODEL_FOLDER OUT --to jetstream-pytorch --quantize int8_per_channel\n"
    "  ckpt verify OUT --source MODEL_FOLDER\n"
    "\nExit codes: 0 done, 64 arguments, 65 source damaged or unsupported, 66 not found, 73 output "
    "cannot be made;\n"
    "docs/exit-codes.md has all.";

// Words that no option or verb takes: the nearest known one is the remedy.
Error UnknownWords(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<std::string> known;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
  }
  for (const CLI::App* verb : app.get_subcommands(nullptr)) known.push_back(verb->get_name());
  const std::string& word = words.front();
  const std::string nearest = Nearest(word.substr(0, word.find('=')), known);
  return {Code::kUsage,
          fmt::format("unknown: {}", ListSome(words, 5)),
          {},
          {},
          nearest.empty()
              ? fmt::format("see {} --help",
                            app.get_parent() == nullptr ? "ckpt" : "ckpt " + app.get_name())
              : fmt::format("did you mean {}?", nearest)};
}

const CLI::App& Innermost(const CLI::App& root) {
  const std::vector<CLI::App*> chosen = root.get_subcommands();
  return chosen.empty() ? root : *chosen.front();
}

// CLI11 speaks in exceptions; they end here. Nothing: the words are fine; else the error, or a text
// to print.
struct Parsed {
  bool is_answered = false;  // --help, --version
};
Result<Parsed> Parse(CLI::App& root, int argc, char** argv) {
  try {
    root.parse(argc, argv);
    return Parsed{};
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", Innermost(root).help());
    return Parsed{true};
  } catch (const CLI::CallForAllHelp&) {
    fmt::print("{}", root.help("", CLI::AppFormatMode::All));
    return Parsed{true};
  } catch (const CLI::CallForVersion&) {
    fmt::print("ckpt {}\n", kVersion);
    return Parsed{true};
  } catch (const CLI::ExtrasError&) {
    const CLI::App& verb = Innermost(root);
    std::vector<std::string> words = root.remaining(true);
    if (words.empty()) words = verb.remaining();
    return Fail(UnknownWords(verb, words.empty() ? std::vector<std::string>{"?"} : words));
  } catch (const CLI::ParseError& error) {
    // A misspelt verb shows as a missing one.
    const CLI::App& verb = Innermost(root);
    const std::vector<std::string> words = root.remaining(true);
    if (!words.empty() && words.front() != "--") return Fail(UnknownWords(verb, words));
    return Fail(Code::kUsage, error.what(),
                fmt::format("see {} --help", &verb == &root ? "ckpt" : "ckpt " + verb.get_name()));
  }
}

// The exit status of a run that has told its own errors, or 0.
Result<int> Run(int argc, char** argv) {
  CLI::App root{
      "ckpt: turns published LLM weights into the checkpoint that an inference server loads"};
  root.name("ckpt");
  root.footer(std::string(kFooter));
  root.set_version_flag("--version", std::string(kVersion));
  root.require_subcommand(1);
  std::vector<std::unique_ptr<Verb>> verbs;
  verbs.push_back(AddConvert(root));
  verbs.push_back(AddPlan(root));
  verbs.push_back(AddInspect(root));
  verbs.push_back(AddVerify(root));
  verbs.push_back(AddDiff(root));
  verbs.push_back(AddStatus(root));
  verbs.push_back(AddClean(root));
  verbs.push_back(AddFamilies(root));
  verbs.push_back(AddManifest(root));
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  std::vector<std::string> names;
  names.reserve(verbs.size());
  for (const std::unique_ptr<Verb>& verb : verbs) names.push_back(verb->options.verb());
  const std::string_view program = argc > 0 ? argv[0] : "ckpt";
  if (contract::IsAddressed(program, words, names))
    return contract::Run(program, words, ReadEnvironment);
  CKPT_TRY(const Parsed parsed, Parse(root, argc, argv));
  if (parsed.is_answered) return 0;
  for (const std::unique_ptr<Verb>& verb : verbs) {
    if (!verb->options.is_chosen()) continue;
    CKPT_TRY_VOID(verb->Run());
    return verb->status();
  }
  return Fail(Code::kUsage, "no verb", "see ckpt --help");
}

}  // namespace
}  // namespace ckpt

int main(int argc, char** argv) {
  ckpt::BlockStopSignals();
  const ckpt::Result<int> result = ckpt::Guarded<int>([&] { return ckpt::Run(argc, argv); });
  if (!result) {
    std::fflush(stdout);
    const ckpt::Error error = ckpt::AsStopped(result.error(), "run it again");
    fmt::print(stderr, "{}\n", error.Print());
    return ckpt::ExitStatus(error.code);
  }
  // Output that did not arrive is a failure, not a success.
  if (std::fflush(stdout) != 0) return ckpt::ExitStatus(ckpt::Code::kIo);
  return *result;
}

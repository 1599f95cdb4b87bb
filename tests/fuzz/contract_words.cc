#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/entrypoint/contract.h"
#include "tests/fuzz/expect.h"

namespace ckpt::contract {
namespace {

constexpr std::string_view kPlanted = "PLANTED";
const std::string kUrl = "https://llama.example/*?Policy=PLANTED_a=b&Signature=x~PLANTED__";

// The words of a Job's argument list, one a line.
std::vector<std::string> Lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return lines;
}

// Puts a signed URL among the words; its place and spelling follow from the size of the input.
void Plant(std::vector<std::string>& words, size_t number) {
  const std::vector<std::vector<std::string>> spellings = {
      {"--meta_url=" + kUrl}, {"--meta_url", kUrl}, {"-u=" + kUrl}, {"-u", kUrl}, {"-u" + kUrl}};
  const std::vector<std::string>& spelling = spellings[number % spellings.size()];
  const size_t place = number / spellings.size() % (words.size() + 1);
  words.insert(words.begin() + static_cast<std::ptrdiff_t>(place), spelling.begin(),
               spelling.end());
}

void ExpectNoSecret(std::string_view text) {
  FUZZ_EXPECT(text.find(kPlanted) == std::string_view::npos);
}
void ExpectNoSecret(std::span<const std::string> texts) {
  for (const std::string& text : texts) ExpectNoSecret(text);
}

void Run(std::string_view input) {
  if (input.find(kPlanted) != std::string_view::npos) return;
  std::vector<std::string> arguments = Lines(input);
  Plant(arguments, input.size());

  Faults faults;
  const Words words = ParseWords(arguments, faults);
  const Contract contract = Interpret(
      words, [](const char*) { return std::optional<std::string>(); }, faults);
  for (const auto& [flag, value] : words.values) {
    FUZZ_EXPECT(!value.empty() && Info(flag).kind != FlagKind::kSecret);
    ExpectNoSecret(value);
  }
  ExpectNoSecret(words.warnings);
  ExpectNoSecret(words.notices);
  ExpectNoSecret(contract.warnings);
  ExpectNoSecret(contract.notices);
  ExpectNoSecret(contract.opening_lines);
  for (const ckpt::contract::Output& output : contract.outputs) {
    ExpectNoSecret(output.final_line);
    ExpectNoSecret(output.line_before);
  }
  ExpectNoSecret(ExplainJson(contract));

  if (const Result<void> result = faults.Get(); !result) {
    FUZZ_EXPECT(result.error().code == Code::kUsage && !result.error().remedy.empty());
    ExpectNoSecret(result.error().Print());
    ExpectNoSecret(ExplainJson(result.error()));
    return;
  }
  // Words that are not refused mean something.
  FUZZ_EXPECT(!contract.source.name.empty());
  FUZZ_EXPECT(!contract.family.empty());
  FUZZ_EXPECT(!contract.folder.empty());
  FUZZ_EXPECT(!contract.outputs.empty());
  for (const Output& output : contract.outputs)
    FUZZ_EXPECT(output.path.starts_with(contract.folder) &&
                output.path.size() > contract.folder.size());
  FUZZ_EXPECT(contract.opening_lines.front().starts_with("Inference server is jetstream-"));
}

}  // namespace
}  // namespace ckpt::contract

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::contract::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

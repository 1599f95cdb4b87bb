#include "cli/entrypoint/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/text.h"

namespace ckpt::contract {
namespace {

using ::testing::ElementsAre;

std::string Generation(const std::string& path) {
  const NamedModel* model = GenerationOf(path);
  return model == nullptr ? "" : std::string(model->name);
}

TEST(NamedModels, AreThoseOfTheOriginal) {
  EXPECT_THAT(ModelNames(), ElementsAre("llama-2", "llama-3", "llama-3.1", "llama-3.3", "gemma"));
  EXPECT_EQ(FindNamedModel("llama-3.1")->family->name, "llama");
  EXPECT_EQ(FindNamedModel("gemma")->family->name, "gemma");
  for (const char* name : {"", "llama", "llama-3.2", "Llama-3", "gemma-2"})
    EXPECT_EQ(FindNamedModel(name), nullptr) << name;
}

TEST(GenerationOf, ReadsThePathsThatPeopleGive) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"meta-llama/Llama-2-7b-hf", "llama-2"},
      {"meta-llama/Llama-2-7b", "llama-2"},
      {"Llama-2-70b", "llama-2"},
      {"llama2-7b", "llama-2"},
      {"LLAMA_2_13B", "llama-2"},
      {"meta-llama/Meta-Llama-3-8B", "llama-3"},
      {"Llama3-70B", "llama-3"},
      {"meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1"},
      {"Llama3.1-405B-Instruct:bf16-mp16", "llama-3.1"},
      {"meta-llama/Llama-3.3-70B-Instruct", "llama-3.3"},
      {"/models/llama-3", "llama-3"},
      // A size is no generation, and one that the contract does not know is none.
      {"llama-7b", ""},
      {"llama-13b", ""},
      {"huggyllama/llama-65b", ""},
      {"llama-3b", ""},
      {"llama-3.5b", ""},
      {"meta-llama/Llama-3.2-1B", ""},
      {"Llama-4-Scout", ""},
      {"Llama-30-8B", ""},
      {"meta-llama", ""},
      {"google/gemma-2-9b", ""},
      {"", ""}};
  for (const auto& [path, name] : rows) EXPECT_EQ(Generation(path), name) << path;
}

// A word of an argument list may have 128 KiB.
TEST(GenerationOfDeathTest, SurvivesTheLongestWord) {
  const std::string digits(120'000, '1');
  EXPECT_EXIT(
      {
        GenerationOf("llama-" + digits);
        NameByWord(*FamilyOfPath("gemma"), "gemma-" + digits);
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(MaxTextName, FindsTheSizesOfEachGenerationInAnyCase) {
  const std::vector<std::tuple<std::string, std::string, std::string>> rows = {
      {"llama-2", "Llama-2-7b", "llama2-7b"},
      {"llama-2", "LLAMA-2-13B", "llama2-13b"},
      {"llama-2", "Llama-2-70b-chat-hf", "llama2-70b"},
      {"llama-2", "Llama-2-8b", ""},
      {"llama-3", "Meta-Llama-3-8B", "llama3-8b"},
      {"llama-3", "Llama3-70B", "llama3-70b"},
      {"llama-3", "Llama3.1-8B-Instruct", "llama3-8b"},  // the name counts
      {"llama-3", "Llama3.1-405B", ""},
      {"llama-3.1", "Llama3.1-8B", "llama3.1-8b"},
      {"llama-3.1", "Llama3.1-70B", "llama3.1-70b"},
      {"llama-3.1", "Llama3.1-405B-Instruct:bf16-mp16", "llama3.1-405b"},
      {"llama-3.3", "Llama-3.3-70B-Instruct", "llama3.3-70b"},
      {"llama-3.3", "Llama-3.3-8B", ""},
      {"llama-2", "Llama-2", ""},
      {"gemma", "gemma-7b", ""}};
  for (const auto& [name, path, expected] : rows)
    EXPECT_EQ(MaxTextName(*FindNamedModel(name), path), expected) << name << " " << path;
}

TEST(MaxTextName, TakesTheFirstOfTheTableNotOfThePath) {
  EXPECT_EQ(MaxTextName(*FindNamedModel("llama-2"), "llama-2-70b-from-7b"), "llama2-7b");
}

TEST(NameByWord, ReadsHandlesAndRepositories) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"gemma-7b-it", "gemma-7b"},
      {"gemma-2b", "gemma-2b"},
      {"google/gemma-2b-pytorch", "gemma-2b"},
      {"Gemma-7B", "gemma-7b"},
      {"google/gemma-2-9b-it", "gemma2-9b"},
      {"google/gemma-2-2b", "gemma2-2b"},
      {"gemma-2-27b", "gemma2-27b"},
      {"gemma2-9b-it", "gemma2-9b"},
      {"gemma-2-gemma2-2b-it", "gemma2-2b"},  // Kaggle repeats itself
      {"google/gemma-3-4b-it", "gemma3-4b"},
      {"gemma-3-12b-pt", "gemma3-12b"},
      {"gemma", ""},
      {"gemma-it", ""},
      {"llama-2-7b", ""},
      {"", ""}};
  for (const auto& [text, name] : rows)
    EXPECT_EQ(NameByWord(*FamilyOfPath("gemma"), text), name) << text;
}

TEST(Parts, KeepsEmptyOnes) {
  EXPECT_THAT(Split("a/b", '/'), ElementsAre("a", "b"));
  EXPECT_THAT(Split("/a/", '/'), ElementsAre("", "a", ""));
  EXPECT_THAT(Split("a", '/'), ElementsAre("a"));
  EXPECT_THAT(Split("", '/'), ElementsAre(""));
}

}  // namespace
}  // namespace ckpt::contract

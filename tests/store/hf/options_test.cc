#include "store/hf/options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

using Variables = std::map<std::string, std::string>;

// Looks nowhere on this machine.
HfOptions OptionsOf(const TempFolder& folder, Variables variables, Credential given = {}) {
  variables.try_emplace("HUGGINGFACE_TOKEN_DIR", folder.path() + "/mount");
  variables.try_emplace("HOME", folder.path() + "/home");
  const Environment environment = [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  Result<HfOptions> options = HfOptionsFromEnvironment(environment, nullptr, std::move(given));
  EXPECT_TRUE(options) << (options ? "" : options.error().Print());
  return options ? *options : HfOptions();
}

void WriteToken(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

TEST(HfOptions, NeedsNothing) {
  const TempFolder folder;
  const HfOptions options = OptionsOf(folder, {});
  EXPECT_EQ(options.endpoint.Origin(), "https://huggingface.co");
  EXPECT_TRUE(options.token.empty());
  EXPECT_FALSE(options.is_offline);
  EXPECT_EQ(options.cache_folder, folder.path() + "/home/.cache/huggingface/hub");
}

TEST(HfOptions, LooksForTheTokenInOrder) {
  const TempFolder folder;
  WriteToken(folder.path() + "/home/.cache/huggingface/token", "hf_home\n");
  WriteToken(folder.path() + "/path", "  hf_path \n");
  WriteToken(folder.path() + "/mount/HUGGINGFACE_TOKEN", "hf_mount\n");
  Variables variables;
  EXPECT_EQ(OptionsOf(folder, variables).token.secret.Reveal(), "hf_mount");
  variables["HUGGING_FACE_HUB_TOKEN"] = "hf_old";
  EXPECT_EQ(OptionsOf(folder, variables).token.source, "HUGGING_FACE_HUB_TOKEN");
  variables["HF_TOKEN"] = " hf_new\n";
  EXPECT_EQ(OptionsOf(folder, variables).token.secret.Reveal(), "hf_new");
  EXPECT_EQ(OptionsOf(folder, variables, {Secret("hf_given"), "--token"}).token.source, "--token");
  variables["HF_TOKEN"] = "\n";  // empty is absent
  EXPECT_EQ(OptionsOf(folder, variables).token.secret.Reveal(), "hf_old");

  variables = {{"HUGGINGFACE_TOKEN_DIR", folder.path()}};  // nothing there
  EXPECT_EQ(OptionsOf(folder, variables).token.secret.Reveal(), "hf_home");
  variables["HF_TOKEN_PATH"] = folder.path() + "/path";
  EXPECT_EQ(OptionsOf(folder, variables).token.secret.Reveal(), "hf_path");
  EXPECT_EQ(OptionsOf(folder, variables).token.source, "the file " + folder.path() + "/path");
}

TEST(HfOptions, SendsOnlyAGivenTokenWhereImplicitOnesAreOff) {
  const TempFolder folder;
  const Variables variables = {{"HF_TOKEN", "hf_x"}, {"HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"}};
  EXPECT_TRUE(OptionsOf(folder, variables).token.empty());
  EXPECT_FALSE(OptionsOf(folder, variables, {Secret("hf_given"), "--token"}).token.empty());
}

TEST(HfOptions, KnowsMirrorOfflineAndCache) {
  const TempFolder folder;
  const HfOptions options = OptionsOf(folder, {{"HF_ENDPOINT", "https://mirror.example/hf/"},
                                               {"HF_HUB_OFFLINE", "1"},
                                               {"HF_HOME", "/big/hf"}});
  EXPECT_EQ(options.endpoint.Origin(), "https://mirror.example");
  EXPECT_TRUE(options.is_offline);
  EXPECT_EQ(options.cache_folder, "/big/hf/hub");
  EXPECT_EQ(OptionsOf(folder, {{"HF_HUB_CACHE", "/c"}}).cache_folder, "/c");
}

}  // namespace
}  // namespace ckpt

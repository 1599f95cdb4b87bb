#include "store/kaggle/options.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

using Variables = std::map<std::string, std::string>;

// Looks nowhere on this machine.
Result<KaggleOptions> OptionsOf(const TempFolder& folder, Variables variables) {
  variables.try_emplace("KAGGLE_CONFIG_DIR", folder.path() + "/mount");
  variables.try_emplace("HOME", folder.path() + "/home");
  const Environment environment = [&](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  return KaggleOptionsFromEnvironment(environment, nullptr);
}

void WriteSecret(const std::string& path, const std::string& text) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path) << text;
}

TEST(KaggleOptions, LooksForCredentialsInOrder) {
  const TempFolder folder;
  const std::string mount = folder.path() + "/mount";
  const std::string home = folder.path() + "/home/.kaggle";
  const auto found = [&](const Variables& variables) {
    const Result<KaggleOptions> options = OptionsOf(folder, variables);
    EXPECT_TRUE(options) << options.error().Print();
    return options->credential;
  };
  EXPECT_TRUE(found({}).authorization.empty());
  EXPECT_EQ(found({}).looked.size(), 6);
  WriteSecret(home + "/kaggle.json", R"({"username":"home","key":"k"})");
  EXPECT_EQ(found({}).user, "home");
  WriteSecret(mount + "/username", "two\n");
  WriteSecret(mount + "/key", "k\n");
  EXPECT_EQ(found({}).user, "two");
  WriteSecret(mount + "/kaggle.json", R"({"username":"mount","key":"k"})");
  EXPECT_EQ(found({}).user, "mount");
  EXPECT_EQ(found({}).authorization.Reveal(), "Basic bW91bnQ6aw==");
  const Variables login = {{"KAGGLE_USERNAME", "jane"}, {"KAGGLE_KEY", "k"}};
  EXPECT_EQ(found(login).user, "jane");
  WriteSecret(home + "/access_token", "t0\n");
  EXPECT_EQ(found(login).authorization.Reveal(), "Bearer t0");
  EXPECT_EQ(found({{"KAGGLE_API_TOKEN", "t1"}}).authorization.Reveal(), "Bearer t1");
  WriteSecret(folder.path() + "/token", "t2\n");
  EXPECT_EQ(found({{"KAGGLE_API_TOKEN", folder.path() + "/token"}}).authorization.Reveal(),
            "Bearer t2");
}

TEST(KaggleOptions, RefusesAMalformedFile) {
  const TempFolder folder;
  WriteSecret(folder.path() + "/mount/kaggle.json", R"({"username":"mount","kye":"s3cret"})");
  const Result<KaggleOptions> options = OptionsOf(folder, {});
  ASSERT_FALSE(options);
  EXPECT_EQ(options.error().code, Code::kNoCredential);
  EXPECT_EQ(options.error().Print().find("s3cret"), std::string::npos);
}

TEST(KaggleOptions, KnowsBothGenerationsPlaces) {
  const TempFolder folder;
  EXPECT_EQ(OptionsOf(folder, {})->procedures.Print(), "https://api.kaggle.com/v1");
  EXPECT_EQ(OptionsOf(folder, {})->paths.Print(), "https://www.kaggle.com/api/v1");
  const Variables other = {{"KAGGLE_API_ENDPOINT", "http://localhost:7777/"}};
  EXPECT_EQ(OptionsOf(folder, other)->procedures.Print(), "http://localhost:7777/api/v1");
  EXPECT_EQ(OptionsOf(folder, other)->paths.Print(), "http://localhost:7777/api/v1");
  EXPECT_EQ(OptionsOf(folder, {})->cache_folder, folder.path() + "/home/.cache/kagglehub");
}

}  // namespace
}  // namespace ckpt

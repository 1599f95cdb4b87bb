#include "cli/entrypoint/credentials.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/store/temp_folder.h"
#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Another user than root for as long as it lives, as in a Pod with runAsUser.
class AsPlainUser {
 public:
  AsPlainUser() : was_root_(geteuid() == 0) { EXPECT_TRUE(!was_root_ || seteuid(kPlainUser) == 0); }
  AsPlainUser(const AsPlainUser&) = delete;
  AsPlainUser& operator=(const AsPlainUser&) = delete;
  ~AsPlainUser() { EXPECT_TRUE(!was_root_ || seteuid(0) == 0); }

 private:
  static constexpr uid_t kPlainUser = 65534;
  const bool was_root_;
};

class CredentialsTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  void Put(const std::string& name, const std::string& text) const {
    std::ofstream(Path(name), std::ios::binary) << text;
  }
  // A secret of mode 0400 in a folder that everybody may enter.
  void PutForRootOnly(const std::string& name, const std::string& text) const {
    Put(name, text);
    ASSERT_EQ(chmod(Path(name).c_str(), geteuid() == 0 ? 0400 : 0), 0);
    ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  }
  Environment Kaggle(Variables more = {}) const {
    more["KAGGLE_CONFIG_DIR"] = folder_.path();
    return EnvironmentOf(std::move(more));
  }
  Environment Huggingface(Variables more = {}) const {
    more["HUGGINGFACE_TOKEN_DIR"] = folder_.path();
    return EnvironmentOf(std::move(more));
  }

  TempFolder folder_;
};

template <class T>
void ExpectRefused(const Result<T>& result, const Strings& mentions) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kNoCredential);
  const std::string text = result.error().Print();
  for (const std::string& mention : mentions) EXPECT_THAT(text, HasSubstr(mention));
  EXPECT_THAT(text, Not(HasSubstr("PLANTED")));
}

// --------------------------------------------------------------------- Kaggle

TEST_F(CredentialsTest, KaggleTakesTheDownloadedFile) {
  Put("kaggle.json", R"({"username":"anna","key":"k1"})");
  Put("username", "other");
  Put("key", "other");
  const auto login =
      FindKaggleLogin(Kaggle({{"KAGGLE_USERNAME", "other"}, {"KAGGLE_KEY", "other"}}));
  ASSERT_TRUE(login);
  EXPECT_EQ(login->user, "anna");
  EXPECT_EQ(login->key.Reveal(), "k1");
}

TEST_F(CredentialsTest, KaggleTakesTwoFilesOfASecretOfLiterals) {
  Put("username", "anna\n");
  Put("key", " k1\n");
  const auto login =
      FindKaggleLogin(Kaggle({{"KAGGLE_USERNAME", "other"}, {"KAGGLE_KEY", "other"}}));
  ASSERT_TRUE(login);
  EXPECT_EQ(login->user, "anna");
  EXPECT_EQ(login->key.Reveal(), "k1");
}

TEST_F(CredentialsTest, KaggleTakesTheVariablesThenAToken) {
  const Variables all = {
      {"KAGGLE_USERNAME", "anna"}, {"KAGGLE_KEY", "k1"}, {"KAGGLE_API_TOKEN", "KGAT_x"}};
  EXPECT_EQ(FindKaggleLogin(Kaggle(all))->key.Reveal(), "k1");
  EXPECT_EQ(FindKaggleLogin(Kaggle(all))->user, "anna");
  const auto token =
      FindKaggleLogin(Kaggle({{"KAGGLE_USERNAME", "anna"}, {"KAGGLE_API_TOKEN", "KGAT_x"}}));
  ASSERT_TRUE(token);
  EXPECT_EQ(token->key.Reveal(), "KGAT_x");
  EXPECT_EQ(token->user, "");
}

TEST_F(CredentialsTest, KaggleGoesOnFromHalfALogin) {
  Put("username", "anna");
  ExpectRefused(FindKaggleLogin(Kaggle({{"KAGGLE_KEY", "PLANTED"}})), {"no Kaggle credential"});
  Put("key", "");
  ExpectRefused(FindKaggleLogin(Kaggle()), {"no Kaggle credential"});
  EXPECT_EQ(FindKaggleLogin(Kaggle({{"KAGGLE_API_TOKEN", "t"}}))->key.Reveal(), "t");
}

TEST_F(CredentialsTest, KaggleSaysWhatIsMissingAndHowToMakeIt) {
  ExpectRefused(FindKaggleLogin(Kaggle()),
                {Path("kaggle.json"), "kubectl create secret generic kaggle-secret",
                 "KAGGLE_USERNAME and KAGGLE_KEY", "(exit 78)"});
  ExpectRefused(FindKaggleLogin(EnvironmentOf({{"KAGGLE_CONFIG_DIR", Path("nowhere")}})),
                {Path("nowhere")});
  Put("file", "");
  ExpectRefused(FindKaggleLogin(EnvironmentOf({{"KAGGLE_CONFIG_DIR", Path("file")}})),
                {Path("file")});
}

TEST_F(CredentialsTest, KaggleRefusesAMalformedFile) {
  for (const char* text :
       {"", "PLANTED", "[]", "{}", R"("PLANTED")", R"({"username":"anna"})", R"({"key":"PLANTED"})",
        R"({"username":1,"key":"PLANTED"})", R"({"username":"","key":"PLANTED"})",
        R"({"username":"anna","key":"PLANTED")"}) {
    Put("kaggle.json", text);
    ExpectRefused(FindKaggleLogin(Kaggle({{"KAGGLE_API_TOKEN", "t"}})),
                  {"kaggle.json holds no username and key", "https://www.kaggle.com/settings"});
  }
}

TEST_F(CredentialsTest, AFileForRootOnlyIsRefusedWithBothRemedies) {
  PutForRootOnly("kaggle.json", "PLANTED");
  PutForRootOnly("HUGGINGFACE_TOKEN", "PLANTED");
  PutForRootOnly("url", "PLANTED");
  const AsPlainUser plain;
  const Strings mentions = {"cannot be read", "run the container as user 0", "fsGroup", "0440"};
  ExpectRefused(FindKaggleLogin(Kaggle()), mentions);
  ExpectRefused(FindHuggingfaceToken(Huggingface({{"HF_TOKEN", "t"}})), mentions);
  Contract contract;
  contract.meta_url_file = Path("url");
  ExpectRefused(FindMetaUrl(contract), mentions);
}

TEST_F(CredentialsTest, AFolderInPlaceOfASecretIsRefused) {
  std::filesystem::create_directory(Path("kaggle.json"));
  ExpectRefused(FindKaggleLogin(Kaggle()), {"kaggle.json cannot be read"});
}

TEST_F(CredentialsTest, ALinkThatLeadsNowhereIsRefused) {
  std::filesystem::create_symlink(Path("kaggle.json"), Path("kaggle.json"));
  ExpectRefused(FindKaggleLogin(Kaggle()), {"kaggle.json", "mount the secret again"});
}

// --------------------------------------------------------------------- Hugging Face

TEST_F(CredentialsTest, HuggingfaceTakesTheFileWithoutItsNewline) {
  Put("HUGGINGFACE_TOKEN", "\thf_file\r\n");
  const auto token = FindHuggingfaceToken(Huggingface({{"HF_TOKEN", "hf_variable"}}));
  ASSERT_TRUE(token);
  EXPECT_EQ(token->Reveal(), "hf_file");
}

TEST_F(CredentialsTest, HuggingfaceTakesTheVariableWhereTheFileIsMissingOrEmpty) {
  EXPECT_EQ(FindHuggingfaceToken(Huggingface({{"HF_TOKEN", "hf_x\n"}}))->Reveal(), "hf_x");
  Put("HUGGINGFACE_TOKEN", "\n");
  EXPECT_EQ(FindHuggingfaceToken(Huggingface({{"HF_TOKEN", "hf_x"}}))->Reveal(), "hf_x");
}

TEST_F(CredentialsTest, HuggingfaceNeedsNoToken) {
  const auto token = FindHuggingfaceToken(Huggingface());
  ASSERT_TRUE(token);
  EXPECT_TRUE(token->empty());
}

// --------------------------------------------------------------------- Meta

TEST_F(CredentialsTest, MetasUrlIsTheGivenOneBeforeTheFile) {
  Contract contract;
  contract.meta_url = Secret("https://given");
  contract.meta_url_file = Path("nowhere");
  EXPECT_EQ(FindMetaUrl(contract)->Reveal(), "https://given");
}

TEST_F(CredentialsTest, MetasUrlIsTheFilesFirstLine) {
  Contract contract;
  contract.meta_url_file = Path("url");
  for (const char* text : {"https://x/?a=b", "https://x/?a=b\n", "\n https://x/?a=b \r\nmore\n"}) {
    Put("url", text);
    const auto url = FindMetaUrl(contract);
    ASSERT_TRUE(url) << text;
    EXPECT_EQ(url->Reveal(), "https://x/?a=b");
  }
}

TEST_F(CredentialsTest, MetasFileMustBeThereAndHoldAUrl) {
  Contract contract;
  contract.meta_url_file = Path("url");
  ExpectRefused(FindMetaUrl(contract), {Path("url") + " is not there", "mount the secret"});
  for (const char* text : {"", "\n", "PLANTED", "ftp://PLANTED", "x\nhttps://PLANTED"}) {
    Put("url", text);
    ExpectRefused(FindMetaUrl(contract), {"holds no URL", "llama-downloads"});
  }
}

TEST_F(CredentialsTest, AUrlInPlaceOfAFileIsNotShown) {
  Contract contract;
  contract.meta_url_file = "https://l.example/*?Signature=PLANTED";
  ExpectRefused(FindMetaUrl(contract), {"is not there"});
}

}  // namespace
}  // namespace ckpt::contract

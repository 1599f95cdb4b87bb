#include "cli/entrypoint/stand_in.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/store/temp_folder.h"
#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StandInTest : public testing::Test {
 protected:
  std::string Path(const std::string& name) const { return folder_.path() + "/" + name; }
  void MakeFolder(const std::string& name) const {
    std::filesystem::create_directories(Path(name));
  }
  // Buckets lie in the folder "gs"; no credential lies anywhere.
  Environment Here(Variables more = {}) const {
    more.insert({"CKPT_GS_ROOT", Path("gs")});
    return Nowhere(std::move(more));
  }
  Environment Nowhere(Variables more = {}) const {
    more.insert({"KAGGLE_CONFIG_DIR", Path("none")});
    more.insert({"HUGGINGFACE_TOKEN_DIR", Path("none")});
    return EnvironmentOf(std::move(more));
  }
  // What is tried for the argument list, or the error.
  Strings Candidates(const Strings& arguments, const Environment& environment) const {
    const Reading read = Read(arguments);
    EXPECT_EQ(read.faults, "") << Joined(arguments);
    const auto found = FindCandidates(read.contract, environment);
    if (!found) return {found.error().Print()};
    Strings shown;
    for (const Candidate& candidate : found->places)
      shown.push_back(candidate.argument + " as " + candidate.shown);
    return shown;
  }
  static Strings Pytorch(const std::string& path, const std::string& input) {
    return {"-s=jetstream-pytorch", "-o=/o", "-m=" + path, "-i=" + input};
  }

  TempFolder folder_;
};

TEST_F(StandInTest, AFolderStandsForAllBuckets) {
  const Environment environment = EnvironmentOf({{"CKPT_GS_ROOT", "/all/"}});
  EXPECT_EQ(Reached("gs://bkt/a/b", environment), "/all/bkt/a/b");
  EXPECT_EQ(Reached("gs://bkt//a/", environment), "/all/bkt/a");
  EXPECT_EQ(Reached("gs://bkt", environment), "/all/bkt");
  EXPECT_EQ(Reached("/local/x/", environment), "/local/x/");
}

TEST_F(StandInTest, ABucketWithoutAStandInIsItself) {
  for (const Environment& environment : {EnvironmentOf(), EnvironmentOf({{"CKPT_GS_ROOT", ""}})})
    EXPECT_EQ(Reached("gs://bkt//a/", environment), "gs://bkt/a");
}

// --------------------------------------------------------------------- destination

TEST_F(StandInTest, AMissingBucketIsNeverMade) {
  MakeFolder("gs/other");
  Contract contract;
  contract.folder = "gs://bkt/o";
  const auto folder = FindDestination(contract, Here());
  ASSERT_FALSE(folder);
  EXPECT_EQ(ExitStatus(folder.error().code), 73);
  EXPECT_THAT(folder.error().what, HasSubstr("no bucket gs://bkt"));
  EXPECT_THAT(folder.error().remedy, HasSubstr("mkdir -p " + Path("gs/bkt")));
  EXPECT_FALSE(std::filesystem::exists(Path("gs/bkt")));
}

TEST_F(StandInTest, AFolderInABucketNeedNotBeThere) {
  MakeFolder("gs/bkt");
  Contract contract;
  contract.folder = "gs://bkt/a/b";
  EXPECT_EQ(*FindDestination(contract, Here()), Path("gs/bkt/a/b"));
  contract.folder = "gs://bkt";
  EXPECT_EQ(*FindDestination(contract, Here()), Path("gs/bkt"));
  contract.folder = "/local/new";
  EXPECT_EQ(*FindDestination(contract, Nowhere()), "/local/new");
}

TEST_F(StandInTest, AFileIsNoBucket) {
  MakeFolder("gs");
  std::ofstream(Path("gs/bkt")) << "x";
  Contract contract;
  contract.folder = "gs://bkt/a";
  EXPECT_EQ(FindDestination(contract, Here()).error().code, Code::kCannotCreate);
}

TEST_F(StandInTest, ADestinationInABucketIsWrittenThere) {
  Contract contract;
  contract.folder = "gs://bkt/o";
  EXPECT_EQ(*FindDestination(contract, Nowhere()), "gs://bkt/o");
}

// --------------------------------------------------------------------- sources

TEST_F(StandInTest, AMountIsTriedBeforeItsBucket) {
  MakeFolder("models/in");
  const Strings arguments = Pytorch(Path("models"), "gs://bkt/in");
  EXPECT_THAT(Candidates(arguments, Here()),
              ElementsAre(Path("models/in") + " as " + Path("models/in"),
                          Path("gs/bkt/in") + " as gs://bkt/in"));
  EXPECT_THAT(
      Candidates(arguments, Nowhere()),
      ElementsAre(Path("models/in") + " as " + Path("models/in"), "gs://bkt/in as gs://bkt/in"));
}

TEST_F(StandInTest, AMountThatIsNotThereIsPassedOver) {
  const Strings arguments = Pytorch(Path("models"), "gs://bkt/in");
  EXPECT_THAT(Candidates(arguments, Here()), ElementsAre(Path("gs/bkt/in") + " as gs://bkt/in"));
  EXPECT_THAT(Candidates(arguments, Nowhere()), ElementsAre("gs://bkt/in as gs://bkt/in"));
}

TEST_F(StandInTest, ALocalDirectoryIsReadAsItIs) {
  EXPECT_THAT(Candidates(Pytorch("/models", "/in/x"), Nowhere()), ElementsAre("/in/x as /in/x"));
}

TEST_F(StandInTest, ABaseCopyNeedsNoCredential) {
  const Strings gemma = {"-b=bkt", "-m=google/gemma/maxtext/7b-it/2"};
  MakeFolder("gs/bkt/base/gemma_7b-it");
  EXPECT_THAT(Candidates(gemma, Here()),
              ElementsAre(Path("gs/bkt/base/gemma_7b-it") + " as gs://bkt/base/gemma_7b-it"));
  MakeFolder("gs/bkt/base/gemma_7b-it/7b-it");
  EXPECT_THAT(Candidates(gemma, Here()),
              ElementsAre(Path("gs/bkt/base/gemma_7b-it/7b-it") + " as gs://bkt/base/gemma_7b-it"));
}

TEST_F(StandInTest, ABaseCopyInABucketIsTriedBeforeTheDownload) {
  const Strings gemma = {"-b=bkt", "-m=google/gemma/maxtext/7b-it/2"};
  EXPECT_THAT(Candidates(gemma, Nowhere({{"KAGGLE_API_TOKEN", "t"}})),
              ElementsAre("gs://bkt/base/gemma_7b-it/7b-it as gs://bkt/base/gemma_7b-it",
                          "gs://bkt/base/gemma_7b-it as gs://bkt/base/gemma_7b-it",
                          "kaggle://google/gemma/maxtext/7b-it/2 as google/gemma/maxtext/7b-it/2"));
}

TEST_F(StandInTest, ADownloadAsksForItsCredentialFirst) {
  const Strings gemma = {"-b=bkt", "-m=google/gemma/maxtext/7b-it/2"};
  EXPECT_THAT(Candidates(gemma, Here()), ElementsAre(HasSubstr("(exit 78)")));
  EXPECT_THAT(Candidates(gemma, Here({{"KAGGLE_API_TOKEN", "t"}})),
              ElementsAre("kaggle://google/gemma/maxtext/7b-it/2 as google/gemma/maxtext/7b-it/2"));
  const Strings meta = {"-b=bkt", "-o=/o", "-m=Llama-2-7b", "--meta_url_file=" + Path("url")};
  EXPECT_THAT(Candidates(meta, Here()), ElementsAre(HasSubstr("(exit 78)")));
  std::ofstream(Path("url")) << "https://x.example/?PLANTED";
  EXPECT_THAT(Candidates(meta, Here()), ElementsAre("meta://Llama-2-7b as Llama-2-7b"));
}

TEST_F(StandInTest, APublicRepositoryNeedsNoCredential) {
  const Strings llama = {"-b=bkt", "-o=/o", "-m=a/Llama-2-7b", "-h=1"};
  EXPECT_THAT(Candidates(llama, Nowhere()), ElementsAre("hf://a/Llama-2-7b as a/Llama-2-7b"));
}

TEST_F(StandInTest, ADirectoryComesBeforeADownload) {
  const Strings gemma = {"-b=bkt", "-m=google/gemma/maxtext/7b-it/2", "-i=gs://bkt/in"};
  EXPECT_THAT(Candidates(gemma, Here()), ElementsAre(Path("gs/bkt/in") + " as gs://bkt/in"));
  // Without a credential the download is not tried.
  EXPECT_THAT(Candidates(gemma, Nowhere()),
              ElementsAre("gs://bkt/in as gs://bkt/in",
                          "gs://bkt/base/gemma_7b-it/7b-it as gs://bkt/base/gemma_7b-it",
                          "gs://bkt/base/gemma_7b-it as gs://bkt/base/gemma_7b-it"));
}

}  // namespace
}  // namespace ckpt::contract

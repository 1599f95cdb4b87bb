#include "store/hf/cache.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "store/hf/hf_store.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

void WriteCached(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

// As the official client makes it: names in snapshots/ are links into blobs/.
class HfCache : public testing::Test {
 protected:
  HfCache() {
    WriteCached(Repo() / "refs/main", kCommit);
    WriteCached(Repo() / "blobs/abc", "{}");
    fs::create_directories(Snapshot());
    fs::create_symlink("../../blobs/abc", Snapshot() / "config.json");
  }
  fs::path Repo() const { return fs::path(folder_.path()) / "models--org--name"; }
  fs::path Snapshot() const { return Repo() / "snapshots" / kCommit; }
  std::optional<HfSnapshot> Find(const std::string& place, std::vector<std::string> needed) const {
    const Result<std::optional<HfSnapshot>> found =
        FindInCache(folder_.path(), *HfPlace::Parse(place), needed);
    EXPECT_TRUE(found);
    return found ? *found : std::nullopt;
  }
  const TempFolder folder_;
};

TEST_F(HfCache, FindsTheSnapshotOfABranchAndOfACommit) {
  for (const std::string& revision : {std::string("main"), std::string(kCommit)}) {
    const std::optional<HfSnapshot> found = Find("org/name@" + revision, {"config.json"});
    ASSERT_TRUE(found) << revision;
    EXPECT_EQ(found->folder, Snapshot().string());
    EXPECT_EQ(found->commit, kCommit);
  }
}

TEST_F(HfCache, TakesNoSnapshotThatLacksAFile) {
  EXPECT_FALSE(Find("org/name", {"config.json", "model.safetensors"}));
  EXPECT_FALSE(Find("org/name@v2", {}));
  EXPECT_FALSE(Find("org/other", {}));
}

TEST_F(HfCache, TakesNoFileOfAnotherSizeOrDigest) {
  const HfSnapshot snapshot{Snapshot().string(), kCommit};
  EXPECT_TRUE(HasInCache(snapshot, {"config.json", 2, "abc", ""}));
  EXPECT_FALSE(HasInCache(snapshot, {"config.json", 3, "abc", ""}));
  EXPECT_FALSE(HasInCache(snapshot, {"config.json", 2, "abd", ""}));
  EXPECT_FALSE(HasInCache(snapshot, {"config.json", 2, "abc", "ffff"}));
}

TEST_F(HfCache, IsAllThatIsReadOffline) {
  HfOptions options;
  options.is_offline = true;
  options.cache_folder = folder_.path();
  const Result<std::unique_ptr<Store>> store = OpenHfStore(*HfPlace::Parse("org/name"), options);
  ASSERT_TRUE(store) << store.error().Print();
  EXPECT_EQ(*(*store)->ReadWhole("config.json", 100), "{}");

  const Result<std::unique_ptr<Store>> other = OpenHfStore(*HfPlace::Parse("org/none"), options);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kNotFound);
}

}  // namespace
}  // namespace ckpt

// Holds the Orbax reader to checkpoints of the real writers (tests/golden/maxtext) and of a second
// program that was written from the format's description (tests/golden/orbax): dtype, shape and
// SHA-256 of every leaf.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/message_digest.h"
#include "base/units.h"
#include "format/zarr/meta.h"
#include "source/box_reader.h"
#include "source/box_runs.h"
#include "source/digest.h"
#include "source/open.h"
#include "source/reader_pool.h"
#include "tests/data.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".tree.txt";
constexpr size_t kMostChecked = 60;  // tensors of a tree; the others of the large ones are alike

const fs::path& Root() {
  static const fs::path root = TestData() / "golden";
  return root;
}

// One leaf as the lists of both kinds say it: "bfloat16 [256, 64] 69295dce5bc4".
std::string Line(std::string_view dtype, const std::string& shape, std::string_view sha256) {
  return fmt::format("{} {} {}", dtype, shape, sha256.substr(0, 12));
}

using Leaves = std::map<std::string, std::string>;

// "name dtype (256, 64) 69295dce5bc4" on each line; "(64,)" and "()" too.
Leaves ReadTreeList(const fs::path& path) {
  Leaves leaves;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    const size_t open = line.find('(');
    const size_t close = line.find(')');
    std::string shape = line.substr(open + 1, close - open - 1);
    if (shape.ends_with(',')) shape.pop_back();
    std::istringstream head(line.substr(0, open));
    std::string name;
    std::string dtype;
    head >> name >> dtype;
    leaves[name] = Line(dtype, "[" + shape + "]", line.substr(close + 2));
  }
  return leaves;
}

// Every golden: the folder to open, and its leaves.
std::map<std::string, Leaves> Goldens() {
  std::map<std::string, Leaves> goldens;
  for (const auto& entry : fs::recursive_directory_iterator(Root() / "maxtext")) {
    const std::string name = entry.path().string();
    if (name.ends_with(kEnding))
      goldens[fs::relative(name.substr(0, name.size() - kEnding.size()), Root()).string()] =
          ReadTreeList(entry.path());
  }
  const auto expected = nlohmann::json::parse(std::ifstream(Root() / "orbax/expected.json"));
  for (const auto& [name, golden] : expected.items()) {
    Leaves& leaves = goldens["orbax/" + name + "/0/items"];
    for (const auto& [leaf, array] : golden.at("arrays").items())
      leaves[leaf] =
          Line(array[0].get<std::string>(), ToString(Shape(array[1].get<std::vector<uint64_t>>())),
               array[2].get<std::string>());
  }
  return goldens;
}

const std::map<std::string, Leaves>& AllGoldens() {
  static const std::map<std::string, Leaves> goldens = Goldens();
  return goldens;
}

std::vector<std::string> Paths() {
  std::vector<std::string> paths;
  for (const auto& [path, leaves] : AllGoldens()) paths.push_back(path);
  return paths;
}

// A golden with the catalog that came of it.
class OrbaxGolden : public ::testing::TestWithParam<std::string> {
 protected:
  OrbaxGolden() : store_(MemoryStore::OfFolder(Root() / GetParam())) {
    catalog_ = OpenSource({store_, ""}, budget_);
  }

  const Leaves& Expected() const { return AllGoldens().at(GetParam()); }

  // The line of a tensor with these bytes. The real writers leave the upper half of an int4's byte
  // zero, and the digests of their lists are of the bytes as stored; ours has the sign there.
  std::string LineOf(const TensorEntry& tensor, std::string bytes) const {
    if (tensor.dtype == DType::kI4 && GetParam().starts_with("maxtext/")) {
      for (char& each : bytes) each = static_cast<char>(each & 0x0f);
    }
    return Line(*ZarrDTypeName(ZarrForm::kV3, tensor.dtype), ToString(tensor.shape),
                Sha256Hex(bytes));
  }

  MemoryBudget budget_{64 * kMiB};
  std::shared_ptr<MemoryStore> store_;
  Result<Catalog> catalog_;
};

TEST_P(OrbaxGolden, GivesEveryLeaf) {
  ASSERT_TRUE(catalog_) << catalog_.error().Print();
  EXPECT_EQ(catalog_->format, "orbax");
  EXPECT_THAT(catalog_->warnings, ::testing::IsEmpty());
  EXPECT_EQ(budget_.used_bytes(), 0U);
  ReaderPool pool(*store_, *catalog_);
  BoxReader reader(pool.Opener(), budget_);
  Leaves found;
  for (const TensorEntry& tensor : catalog_->tensors) {
    const Box whole{std::vector<uint64_t>(tensor.shape.rank(), 0), tensor.shape.extents};
    std::string bytes(tensor.size_bytes, '?');
    const auto read = reader.Read(tensor, whole, std::as_writable_bytes(std::span(bytes)));
    ASSERT_TRUE(read) << read.error().Print();
    found[tensor.name] = LineOf(tensor, std::move(bytes));
  }
  EXPECT_EQ(found, Expected());
}

TEST_P(OrbaxGolden, GivesTheSameAsAStream) {
  ASSERT_TRUE(catalog_) << catalog_.error().Print();
  TensorStream stream(*store_, *catalog_, budget_, 3 * kIoAlignment);
  for (size_t i = 0; i < catalog_->tensors.size() && i < kMostChecked; ++i) {
    const TensorEntry& tensor = catalog_->tensors[i];
    std::string bytes;
    const auto streamed =
        stream.ForEachChunk(tensor, [&](std::span<const std::byte> part) -> Result<void> {
          bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
          return {};
        });
    ASSERT_TRUE(streamed) << streamed.error().Print();
    EXPECT_EQ(LineOf(tensor, std::move(bytes)), Expected().at(tensor.name)) << tensor.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, OrbaxGolden, ::testing::ValuesIn(Paths()),
                         [](const ::testing::TestParamInfo<std::string>& path) {
                           std::string name = path.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(OrbaxGoldens, AreAllThatThereAre) { EXPECT_EQ(AllGoldens().size(), 14U + 13U); }

TEST(OrbaxGoldens, NoteTheirEmptyLeaves) {
  MemoryBudget budget(64 * kMiB);
  const auto catalog =
      OpenSource({MemoryStore::OfFolder(Root() / "orbax/small-zarr2/0/items"), ""}, budget);
  ASSERT_TRUE(catalog) << catalog.error().Print();
  EXPECT_EQ(catalog->empty_leaves, (std::map<std::string, std::string>{
                                       {"params/empty", "Dict"}, {"params/nothing", "None"}}));
}

TEST(OrbaxGoldens, AreFoundFromTheFoldersAboveThem) {
  for (const char* folder : {"orbax/small-zarr3-crc", "orbax/small-zarr3-crc/0",
                             "maxtext/gemma-2b/final/unscanned", "maxtext/llama2/bf16/scanned"}) {
    MemoryBudget budget(64 * kMiB);
    const auto catalog = OpenSource({MemoryStore::OfFolder(Root() / folder), ""}, budget);
    ASSERT_TRUE(catalog) << catalog.error().Print();
    EXPECT_GT(catalog->tensors.size(), 10U) << folder;
  }
}

}  // namespace
}  // namespace ckpt

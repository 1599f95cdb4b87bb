// Holds every source format to tests/golden/sources/expected.json: files of the real writers, and
// files with one defect.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "base/units.h"
#include "model/model.h"
#include "model/shards.h"
#include "source/box_reader.h"
#include "source/box_runs.h"
#include "source/digest.h"
#include "source/open.h"
#include "source/reader_pool.h"
#include "source/source_checks.h"
#include "tests/data.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

// No golden may need more, whatever is wrong with it.
constexpr uint64_t kBudgetBytes = 64 * kMiB;
#ifdef CKPT_SANITIZED
constexpr double kMostCpuSeconds = 50;
#else
constexpr double kMostCpuSeconds = 5;
#endif
// All that there are.
const std::set<std::string> kReadFormats = {
    "safetensors", "safetensors-index", "gguf", "torch-zip", "torch-legacy", "meta-consolidated"};

const fs::path& Root() {
  static const fs::path root = TestData() / "golden/sources";
  return root;
}

const json& Expected() {
  static const json expected = json::parse(std::ifstream(Root() / "expected.json"));
  return expected.at("files");
}

std::vector<std::string> Paths() {
  std::vector<std::string> paths;
  for (const auto& [path, entry] : Expected().items()) {
    if (kReadFormats.contains(entry.at("format"))) paths.push_back(path);
  }
  return paths;
}

// A golden with the catalog that came of it.
class Sources : public ::testing::TestWithParam<std::string> {
 protected:
  Sources() : entry_(Expected().at(GetParam())) {
    const fs::path path = Root() / GetParam();
    const bool is_folder = fs::is_directory(path);
    store_ = MemoryStore::OfFolder(is_folder ? path : path.parent_path());
    const std::clock_t begin = std::clock();
    catalog_ = OpenSource({store_, is_folder ? "" : path.filename().string()}, budget_);
    if (catalog_) Join();
    cpu_seconds_ = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  }

  // Shards of a model: whole tensors are what counts.
  void Join() {
    const auto families = LoadFamilies({});
    ASSERT_TRUE(families);
    const Result<void> joined = JoinShards(*families, "", *catalog_);
    ASSERT_TRUE(joined) << joined.error().Print();
  }

  // A file whose storage is damaged opens; whoever reads all of it is told.
  void ExpectCrcError() {
    ASSERT_TRUE(catalog_) << catalog_.error().Print();
    SourceChecks checks(*catalog_);
    ReaderPool pool(*store_, *catalog_, ReaderPool::kMostOpen, &checks);
    BoxReader reader(pool.Opener(), budget_);
    for (const TensorEntry& tensor : catalog_->tensors) {
      std::vector<std::byte> bytes(tensor.size_bytes);
      ASSERT_TRUE(reader.Read(tensor, WholeBox(tensor.shape), bytes));
    }
    const auto verdict = checks.Finish();
    ASSERT_FALSE(verdict);
    EXPECT_EQ(verdict.error().code, Code::kBadInput);
    EXPECT_NE(verdict.error().what.find("CRC-32"), std::string::npos);
    std::cout << verdict.error().Print() << "\n";
  }

  std::string Verdict() const { return entry_.at("verdict"); }

  void ExpectTensors() {
    ASSERT_TRUE(catalog_) << catalog_.error().Print();
    if (!entry_.contains("tensors")) return;
    const json& tensors = entry_.at("tensors");
    EXPECT_EQ(catalog_->tensors.size(), tensors.size());
    TensorStream stream(*store_, *catalog_, budget_);
    for (const TensorEntry& tensor : catalog_->tensors) {
      SCOPED_TRACE(tensor.name);
      ASSERT_TRUE(tensors.contains(tensor.name));
      const json& expected = tensors.at(tensor.name);
      EXPECT_EQ(Name(tensor.dtype), expected.at("dtype").get<std::string>());
      EXPECT_EQ(tensor.shape.extents, expected.at("shape").get<std::vector<uint64_t>>());
      EXPECT_EQ(tensor.size_bytes, expected.at("nbytes").get<uint64_t>());
      EXPECT_EQ(stream.Sha256(tensor), expected.at("sha256").get<std::string>());
    }
  }

  void ExpectClearError() {
    ASSERT_FALSE(catalog_) << "accepted, though " << entry_.at("defect");
    const Error& error = catalog_.error();
    EXPECT_EQ(error.code, Code::kBadInput) << error.Print();
    EXPECT_FALSE(error.what.empty());
    EXPECT_FALSE(error.remedy.empty()) << error.Print();
    const bool names_file = std::any_of(error.where.begin(), error.where.end(),
                                        [](const Place& place) { return place.kind == "file"; });
    EXPECT_TRUE(names_file) << error.Print();
  }

  MemoryBudget budget_{kBudgetBytes};
  const json& entry_;
  std::shared_ptr<MemoryStore> store_;
  Result<Catalog> catalog_;
  double cpu_seconds_ = 0;
};

TEST_P(Sources, GivesTheExpectedVerdict) {
  const bool may_fail = Verdict() == "ok_or_clear_error" || Verdict() == "error_or_no_tensors";
  if (Verdict() == "error" || (may_fail && !catalog_)) {
    ExpectClearError();
    if (!catalog_) std::cout << catalog_.error().Print() << "\n";
  } else if (Verdict() == "error_when_crc_is_checked") {
    ExpectCrcError();
  } else {
    ExpectTensors();
    EXPECT_EQ(catalog_ && !catalog_->warnings.empty(), Verdict() == "ok_with_warning");
  }
  EXPECT_LT(cpu_seconds_, kMostCpuSeconds);
  EXPECT_EQ(budget_.used_bytes(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Golden, Sources, ::testing::ValuesIn(Paths()),
                         [](const ::testing::TestParamInfo<std::string>& path) {
                           std::string name = path.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(SourcesAccount, ReadsEveryGolden) {
  std::map<std::string, int> checked;
  std::map<std::string, int> left_out;
  for (const auto& [path, entry] : Expected().items()) {
    const std::string format = entry.at("format");
    ++(kReadFormats.contains(format) ? checked : left_out)[format];
    const std::set<std::string> known = {"ok",
                                         "error",
                                         "ok_with_warning",
                                         "ok_or_clear_error",
                                         "error_or_no_tensors",
                                         "error_when_crc_is_checked"};
    EXPECT_TRUE(!kReadFormats.contains(format) || known.contains(entry.at("verdict"))) << path;
  }
  for (const auto& [format, count] : checked)
    std::cout << fmt::format("checked {:3} of {}\n", count, format);
  for (const auto& [format, count] : left_out) ADD_FAILURE() << count << " of " << format;
  for (const std::string& format : kReadFormats) EXPECT_GT(checked[format], 0) << format;
}

}  // namespace
}  // namespace ckpt

#include "run/chunked_convert.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>

#include "kernel/aqt.h"
#include "kernel/quantize.h"
#include "run/chunked_destination.h"
#include "run/compare.h"
#include "run/compare_store.h"
#include "source/box_reader.h"
#include "source/reader_pool.h"
#include "store/null/null_store.h"
#include "tests/read_file.h"
#include "tests/sanitized.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/run/begun.h"
#include "tests/unit/run/tiny_maxtext.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

std::shared_ptr<Store> OpenFolder(const std::string& path) {
  return std::shared_ptr<Store>(*OpenFileStore(*Uri::Parse(path), {.io_threads = 2}));
}

std::map<std::string, std::string> FilesIn(const std::string& path) {
  std::map<std::string, std::string> files;
  if (!std::filesystem::exists(path)) return files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    if (!entry.is_regular_file()) continue;
    const std::string name = std::filesystem::relative(entry.path(), path);
    if (name.starts_with(".ckpt-state")) continue;
    files[name] = ReadFile(entry.path());
  }
  return files;
}

// All tensors of an Orbax folder as the elements' bytes.
std::map<std::string, std::string> TensorsOf(const std::string& path) {
  const std::shared_ptr<Store> store = OpenFolder(path);
  MemoryBudget budget(256ULL << 20);
  const auto catalog = OpenSource({store, ""}, budget);
  EXPECT_TRUE(catalog) << catalog.error().what;
  std::map<std::string, std::string> tensors;
  if (!catalog) return tensors;
  ReaderPool pool(*store, *catalog);
  BoxReader reader(pool.Opener(), budget);
  for (const TensorEntry& tensor : catalog->tensors) {
    Box box;
    box.begin.resize(tensor.shape.rank());
    box.end = tensor.shape.extents;
    std::string bytes(tensor.size_bytes, '\0');
    const auto read =
        reader.Read(tensor, box, std::as_writable_bytes(std::span(bytes.data(), bytes.size())));
    EXPECT_TRUE(read) << read.error().what;
    tensors[tensor.name] = std::move(bytes);
  }
  return tensors;
}

class ChunkedConvertTest : public testing::Test {
 protected:
  void MakeSource(const TinyLlama& model) {
    source_ = OpenFolder(folder_.path() + "/source");
    model.WriteTo(*source_);
  }
  std::string Out(const std::string& name) const { return folder_.path() + "/" + name; }

  Result<ChunkedResult> Run(Store& destination, const TinyMaxText& options,
                            bool is_overwriting = false) {
    auto plan = MakeTinyMaxTextPlan(source_, options);
    if (!plan) return Fail(plan.error());
    plan_ = std::make_unique<ChunkedPlan>(*std::move(plan));
    MemoryBudget budget(plan_->memory.budget_bytes);
    Watch watch;
    return ConvertChunked(*plan_, MaxTextTarget(), *source_, destination, budget,
                          {is_overwriting, options.threads, "auto", "0"}, watch);
  }
  Result<ChunkedResult> Run(const std::string& name, const TinyMaxText& options,
                            bool is_overwriting = false) {
    return Run(*OpenFolder(Out(name)), options, is_overwriting);
  }

  TempFolder folder_;
  std::shared_ptr<Store> source_;
  std::unique_ptr<ChunkedPlan> plan_;
};

uint16_t U16(const std::string& bytes, uint64_t element) {
  uint16_t value = 0;
  std::memcpy(&value, bytes.data() + 2 * element, sizeof(value));
  return value;
}

// Where the elements of a role lie in a tensor; in plain arrays, for there are millions of them.
class Places {
 public:
  /// Axes of `left_out` do not count.
  Places(const View& view, const std::vector<uint64_t>& left_out)
      : offset_(view.offset), axes_(view.extents.size()) {
    for (size_t k = 0; k < axes_; ++k) {
      const bool is_out = std::find(left_out.begin(), left_out.end(), k) != left_out.end();
      extents_[k] = view.extents[k];
      strides_[k] = is_out ? 0 : view.strides[k];
    }
  }
  uint64_t At(uint64_t element) const {
    uint64_t at = offset_;
    for (size_t k = axes_; k-- > 0;) {
      at += element % extents_[k] * strides_[k];
      element /= extents_[k];
    }
    return at;
  }

 private:
  uint64_t offset_;
  size_t axes_;
  uint64_t extents_[8] = {};  // NOLINT(modernize-avoid-c-arrays): without calls in a debug build
  uint64_t strides_[8] = {};  // NOLINT(modernize-avoid-c-arrays)
};

// Each element of a slice, and of its scales, from the elements of the source's file.
void ExpectSlice(const ChunkedPlan& plan, const ChunkedOutput& output, const ChunkedSlice& slice,
                 const std::string& file, const std::map<std::string, std::string>& tensors) {
  const ChunkedArray& array = output.arrays[slice.array];
  const BoundRole& bound = plan.model.roles[slice.role];
  const TensorEntry& tensor = plan.catalog.tensors[bound.tensor];
  const char* values = file.data() + tensor.pieces.front().offset_bytes;
  uint64_t elements = 1;
  for (const uint64_t extent : slice.view.extents) elements *= extent;
  const Places source(bound.view, {});
  const Places stored(slice.view, {});
  const Places kept(slice.view, slice.reduce);
  const auto value = [&](uint64_t i) {
    uint16_t bits = 0;
    std::memcpy(&bits, values + 2 * source.At(i), 2);
    return ToBF16(ApplyValue(slice.value, ToF32(BF16{bits})));
  };
  const bool is_quantized = array.making == ChunkMaking::kQuantize;
  const AqtType type = array.quant == QuantType::kInt8   ? AqtType::kInt8
                       : array.quant == QuantType::kInt4 ? AqtType::kInt4
                                                         : AqtType::kFp8E4M3;
  // By index of what is not reduced; one more than the largest, and 0 where there is none.
  std::vector<uint32_t> maxima(is_quantized ? array.shape.Elements().value() : 0);
  for (uint64_t i = 0; is_quantized && i < elements; ++i) {
    uint32_t& most = maxima[kept.At(i)];
    most = std::max<uint32_t>(most, 1U + (value(i).bits & 0x7fffU));
  }
  const std::string& made = tensors.at(array.name);
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < elements; ++i) {
    const uint64_t at = stored.At(i);
    if (!is_quantized) {
      wrong += U16(made, at) != value(i).bits ? 1 : 0;
      continue;
    }
    const AqtScale scale = AqtScaleOf(static_cast<uint16_t>(maxima[kept.At(i)] - 1), type);
    const BF16 x = value(i);
    std::byte q{};
    reference::AqtQuantizeRow(&x, 1, scale.reciprocal, type, &q);
    wrong += static_cast<char>(q) != made[at] ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0U) << output.name << " " << array.name;
  if (!is_quantized) return;
  // Scales: one per index that is not reduced, in the order of the kernel's axes.
  const std::string& scales = tensors.at(output.arrays[array.scales].name);
  uint64_t at = 0;
  for (const uint32_t most : maxima) {
    if (most == 0) continue;
    ASSERT_LT(2 * at, scales.size());
    EXPECT_EQ(U16(scales, at++), AqtScaleOf(static_cast<uint16_t>(most - 1), type).scale.bits);
  }
  EXPECT_EQ(2 * at, scales.size());
}

// The definition: each element of each array of the tree, one by one, from the source's elements.
TEST_F(ChunkedConvertTest, EveryElementIsWhatTheViewsAndTheArithmeticSay) {
  TinyLlama model;
  model.layers = 1;
  model.vocab = 3000;  // several bands, with a padded edge in the last
  model.dim = 384;
  model.heads = 6;
  MakeSource(model);
  for (const std::string rope : {"half", "interleaved"}) {
    TinyMaxText options;
    options.settings.rope_layout = rope;
    options.settings.outputs = {"scanned", "unscanned", "int8", "int4w", "fp8"};
    options.bundle_bytes = 1ULL << 20;
    const auto result = Run(rope, options);
    ASSERT_TRUE(result) << result.error().what;
    const std::string file = source_->ReadWhole("model.safetensors", 1ULL << 30).value();
    for (const ChunkedOutput& output : plan_->outputs) {
      const auto tensors = TensorsOf(Out(rope) + "/" + output.root);
      ASSERT_EQ(tensors.size(), output.arrays.size());
      for (const ChunkedSlice& slice : output.slices)
        ExpectSlice(*plan_, output, slice, file, tensors);
    }
  }
}

TEST_F(ChunkedConvertTest, BytesDoNotDependOnThreadsBudgetOrForm) {
  TinyLlama model;
  model.vocab = 3000;
  MakeSource(model);
  TinyMaxText options;
  ASSERT_TRUE(Run("first", options));
  const auto first = FilesIn(Out("first"));
  EXPECT_GT(first.size(), 20U);
  options.threads = 7;
  options.memory_bytes = 512ULL << 20;
  ASSERT_TRUE(Run("second", options));
  EXPECT_EQ(FilesIn(Out("second")), first);
  options.threads = 1;
  options.memory_bytes = 128ULL << 20;
  ASSERT_TRUE(Run("third", options));
  EXPECT_EQ(FilesIn(Out("third")), first);
}

TEST_F(ChunkedConvertTest, AnOrbaxSourceGivesTheSameBytesAsItsOwnSource) {
  MakeSource({});
  TinyMaxText options;
  ASSERT_TRUE(Run("first", options));
  const auto first = FilesIn(Out("first"));
  for (const std::string from : {"bf16/scanned/0", "bf16/unscanned/checkpoints/0/items"}) {
    source_ = OpenFolder(Out("first") + "/" + from);
    const std::string name = "again" + std::to_string(from.size());
    const auto result = Run(name, options);
    ASSERT_TRUE(result) << result.error().what;
    EXPECT_EQ(FilesIn(Out(name)), first) << from;
  }
}

TEST_F(ChunkedConvertTest, OtherFormsHoldTheSameTensors) {
  MakeSource({});
  TinyMaxText options;
  ASSERT_TRUE(Run("plain", options));
  options.settings.compression = "zstd:1";
  ASSERT_TRUE(Run("zstd", options));
  options.settings.layout = "pathways";
  ASSERT_TRUE(Run("pathways-zstd", options));
  options.settings.compression = "";
  ASSERT_TRUE(Run("pathways", options));
  for (const std::string root : {"bf16/scanned/0", "bf16/unscanned/checkpoints/0", "int8"}) {
    const auto plain = TensorsOf(Out("plain") + "/" + root);
    EXPECT_FALSE(plain.empty());
    EXPECT_EQ(TensorsOf(Out("zstd") + "/" + root), plain) << root;
    EXPECT_EQ(TensorsOf(Out("pathways") + "/" + root), plain) << root;
    EXPECT_EQ(TensorsOf(Out("pathways-zstd") + "/" + root), plain) << root;
  }
}

TEST_F(ChunkedConvertTest, ASinkTakesItAll) {
  MakeSource({});
  TinyMaxText options;
  options.keeps_sides = true;
  const auto sink = OpenNullStore();
  const auto result = Run(*sink, options);
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(sink->List("int8")->empty(), false);
}

TEST_F(ChunkedConvertTest, ComparingFindsAChangedByteAndAMissingFile) {
  MakeSource({});
  TinyMaxText options;
  ASSERT_TRUE(Run("out", options));
  options.keeps_sides = true;
  const std::shared_ptr<Store> inner = OpenFolder(Out("out"));
  MemoryBudget budget(512ULL << 20);
  CompareStore store(*inner, budget, [](const std::string& name, uint64_t) { return name; });
  ASSERT_TRUE(Run(store, options));
  uint64_t number = 0;
  for (const auto& [name, bytes] : FilesIn(Out("out"))) {
    if (number++ % kCaseStep != 0) continue;
    const std::string path = Out("out") + "/" + name;
    {
      std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(bytes.size() / 2));
      file.put(static_cast<char>(~bytes[bytes.size() / 2]));
    }
    const auto changed = Run(store, options);
    ASSERT_FALSE(changed) << name;
    EXPECT_EQ(changed.error().code, Code::kBadInput);
    std::filesystem::remove(path);
    EXPECT_FALSE(Run(store, options)) << name;
    std::ofstream(path, std::ios::binary) << bytes;
  }
  EXPECT_TRUE(Run(store, options));
}

TEST_F(ChunkedConvertTest, RefusesATakenDestinationAndReplacesItOnlyWhenTold) {
  MakeSource({});
  TinyMaxText options;
  ASSERT_TRUE(Run("out", options));
  const auto first = FilesIn(Out("out"));
  // The very run is done.
  const auto again = Run("out", options);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->outcome, Outcome::kCommittedByOthers);
  EXPECT_EQ(FilesIn(Out("out")), first);
  TinyMaxText others = options;
  others.bundle_bytes = 123'456;
  const auto refused = Run("out", others);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kCannotCreate);
  EXPECT_NE(refused.error().remedy.find("--overwrite"), std::string::npos);
  EXPECT_EQ(FilesIn(Out("out")), first);
  ASSERT_TRUE(Run("out", options, true));
  EXPECT_EQ(FilesIn(Out("out")), first);
  // Another output into the same root is refused too: its state folder is taken.
  options.settings.outputs = {"int4w"};
  const auto other = Run("out", options);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kCannotCreate);
}

TEST_F(ChunkedConvertTest, NeverRemovesAFolderThatIsNoCheckpoint) {
  MakeSource({});
  std::filesystem::create_directories(Out("out") + "/int8");
  std::ofstream(Out("out") + "/int8/thesis.txt") << "years of work";
  std::ofstream(Out("out") + "/beside.txt") << "untouched";
  for (const bool is_overwriting : {false, true}) {
    const auto result = Run("out", {}, is_overwriting);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Code::kCannotCreate);
    EXPECT_NE(result.error().what.find("thesis.txt"), std::string::npos);
    EXPECT_EQ(FilesIn(Out("out")).size(), 2U);
  }
}

TEST_F(ChunkedConvertTest, ClearsAnOwnRunThatWasKilled) {
  MakeSource({});
  const auto destination = OpenFolder(Out("out"));
  const auto plan = MakeTinyMaxTextPlan(source_, {});
  ASSERT_TRUE(plan);
  const std::vector<std::string> folders = WorkFolders(*plan, MaxTextTarget(), *destination);
  ASSERT_TRUE(MarkDestination(*destination, *plan, MaxTextTarget(), folders));
  for (const std::string& folder : folders)
    ASSERT_TRUE(WriteSmallObject(*destination, folder + "/items/d/abc", "half", {}));
  ASSERT_TRUE(WriteSmallObject(*destination, ".ckpt-state/journal/000001", "x", {}));
  ASSERT_TRUE(Run("fresh", {}));
  const auto result = Run("out", {});
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(FilesIn(Out("out")), FilesIn(Out("fresh")));
}

TEST_F(ChunkedConvertTest, WhatAServiceCarriedOutLateIsInNobodysWay) {
  MakeSource({});
  ASSERT_TRUE(Run("fresh", {}));
  const auto plan = MakeTinyMaxTextPlan(source_, {});
  ASSERT_TRUE(plan);
  const auto destination = OpenFolder(Out("out"));
  const std::string& root = plan->outputs[0].root;
  ASSERT_TRUE(WriteSmallObject(*destination, root + "/" + MaxTextTarget().DataFileName(*plan, 0, 1),
                               "late", {}));
  const std::string failure = R"({"program": "ckpt", "result": "failed"})";
  for (const std::string name : {"journal/000001", "side/000001", "report.json"})
    ASSERT_TRUE(WriteSmallObject(*destination, ".ckpt-state/" + name, failure, {}));
  const auto result = Run("out", {});
  ASSERT_TRUE(result) << result.error().what;
  EXPECT_EQ(FilesIn(Out("out")), FilesIn(Out("fresh")));
  // Of another run, or beside something else, they are somebody's.
  for (const std::string& name : {std::string("d/0123"), std::string("thesis.txt")}) {
    const auto taken = OpenFolder(Out("taken-" + std::to_string(name.size())));
    ASSERT_TRUE(WriteSmallObject(*taken, root + "/" + MaxTextTarget().DataFileName(*plan, 0, 1),
                                 "late", {}));
    const std::string precious = Below(root, name);
    ASSERT_TRUE(WriteSmallObject(*taken, precious, "precious", {}));
    const auto refused = Run(*taken, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::kCannotCreate);
    EXPECT_EQ(*taken->ReadWhole(precious, 100), "precious");
  }
}

TEST_F(ChunkedConvertTest, AFailedWriteIsMendedByARerun) {
  MakeSource({});
  ASSERT_TRUE(Run("fresh", {}));
  const auto expected = FilesIn(Out("fresh"));
  int failures = 0;
  for (const FaultPoint point : {FaultPoint::kCreate, FaultPoint::kWrite, FaultPoint::kCommit}) {
    for (uint64_t nth = 1; nth < 90; nth += 22 * kCaseStep) {
      const std::string out =
          "out-" + std::to_string(static_cast<int>(point)) + "-" + std::to_string(nth);
      FaultyStore faulty(*OpenFileStore(*Uri::Parse(Out(out)), {}), {{point, nth}});
      if (!Run(faulty, {})) {
        ++failures;
        const auto again = Run(out, {});
        ASSERT_TRUE(again) << out << ": " << again.error().Print();
      }
      ASSERT_EQ(FilesIn(Out(out)), expected) << out;
    }
  }
  EXPECT_GE(failures, 8 / static_cast<int>(kCaseStep));
}

// A destination that cannot be looked at is not one that another run has taken.
TEST_F(ChunkedConvertTest, AFaultWhileLookingAtAnUnfinishedRunIsThatFaultAndLosesNothing) {
  MakeSource({});
  const Error busy{Code::kTemporary, "the service is busy", {}, {}, ""};
  size_t failed = 0;
  for (const FaultPoint point : kLooks) {
    for (uint64_t nth = 1; nth <= 6; nth += kCaseStep) {
      const std::string out = fmt::format("out{}-{}", static_cast<int>(point), nth);
      FaultyStore cut(*OpenFileStore(*Uri::Parse(Out(out)), {}), {{FaultPoint::kWrite, 60}});
      ASSERT_FALSE(Run(cut, {}));
      FaultyStore faulty(*OpenFileStore(*Uri::Parse(Out(out)), {}), {{point, nth, busy}});
      const auto result = Run(faulty, {});
      if (result) continue;
      ++failed;
      EXPECT_EQ(result.error().code, Code::kTemporary) << out << ": " << result.error().Print();
      const auto again = Run(out, {});
      ASSERT_TRUE(again) << out << ": " << again.error().Print();
      EXPECT_GT(again->shard.kept, 0U) << out;
    }
  }
  EXPECT_GE(failed, 10U / kCaseStep);
}

TEST_F(ChunkedConvertTest, AnotherProcessThatBeginsWhileOneLooksIsInNobodysWay) {
  MakeSource({});
  ASSERT_TRUE(Run("whole", {}));
  FaultyStore cut(*OpenFileStore(*Uri::Parse(Out("begun")), {}), {{FaultPoint::kWrite, 60}});
  ASSERT_FALSE(Run(cut, {}));
  size_t begun = 0;
  for (const FaultPoint point : kLooks) {
    for (uint64_t nth = 1; nth <= 6; nth += kCaseStep) {
      const std::string out = fmt::format("out{}-{}", static_cast<int>(point), nth);
      FaultyStore store(
          *OpenFileStore(*Uri::Parse(Out(out)), {}),
          {{point, nth, {}, [&] { begun += CopyUnlessBegun(Out("begun"), Out(out)); }}});
      const size_t before = begun;
      const auto result = Run(store, {});
      ASSERT_TRUE(result) << out << ": " << result.error().Print();
      if (begun == before) break;  // it looks no more
      EXPECT_EQ(FilesIn(Out(out)), FilesIn(Out("whole"))) << out;
    }
  }
  EXPECT_GE(begun, 4U / kCaseStep);
}

// A bucket, where objects lie at their final places from the first on.
TEST_F(ChunkedConvertTest, WhatAnotherProcessMakesWhileOneLooksIsInNobodysWay) {
  MakeSource({});
  auto first = std::make_unique<MemoryStore>();
  MemoryStore& begun = *first;
  FaultyStore cut(std::move(first), {{FaultPoint::kWrite, 60}});
  ASSERT_FALSE(Run(cut, {}));
  uint64_t nth = 0;
  for (bool was_made = true; was_made && nth < 12 / kCaseStep;) {
    was_made = false;
    auto next = std::make_unique<MemoryStore>();
    MemoryStore& bucket = *next;
    const auto objects = *begun.List("", {});
    for (const ObjectInfo& object : objects) bucket.Put(object.name, begun.Get(object.name));
    const std::string other = plan_->outputs[0].root + "/d/of_another_shard";
    FaultyStore store(std::move(next), {{FaultPoint::kList, ++nth, {}, [&] {
                                           bucket.Put(other, "values");
                                           was_made = true;
                                         }}});
    const auto result = Run(store, {});
    ASSERT_TRUE(result) << nth << ": " << result.error().Print();
    EXPECT_GT(result->shard.kept, 0U);
  }
  EXPECT_GE(nth, 3U);
}

TEST_F(ChunkedConvertTest, NamesTheValueThatCannotBeQuantized) {
  TinyLlama model;
  model.spoil = [](const std::string& name, std::span<uint16_t> values) {
    if (name == "model.layers.1.mlp.down_proj.weight") values[5 * 384 + 7] = 0x7fc0;
  };
  MakeSource(model);
  const auto result = Run("out", {});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Code::kBadInput);
  EXPECT_NE(result.error().what.find("NaN at index [5, 7]"), std::string::npos)
      << result.error().what;
  for (const auto& [name, bytes] : FilesIn(Out("out")))
    EXPECT_NE(name.find("orbax-checkpoint-tmp"), std::string::npos) << name;
  TinyMaxText options;
  options.settings.outputs = {"unscanned"};
  EXPECT_TRUE(Run("plain", options));
}

}  // namespace
}  // namespace ckpt

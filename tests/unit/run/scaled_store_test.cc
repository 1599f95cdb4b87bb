#include "run/scaled_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>

#include "base/buffer.h"
#include "base/checked.h"
#include "base/float.h"
#include "format/safetensors/header.h"
#include "kernel/scaled_float.h"
#include "source/open.h"
#include "store/file/file_store.h"
#include "tests/read_safetensors.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

constexpr const char* kGolden = "tests/golden/compressed-tensors/dequant.safetensors";

struct Stored {
  safetensors::TensorSpec spec;
  std::string bytes;
};

class ScaledStoreTest : public testing::Test {
 protected:
  void Write(const std::vector<Stored>& tensors, const std::string& config = "") {
    std::vector<safetensors::TensorSpec> specs;
    for (const Stored& tensor : tensors) specs.push_back(tensor.spec);
    const auto header = safetensors::EncodeHeader(specs, std::nullopt);
    ASSERT_TRUE(header) << header.error().what;
    std::string file = header->bytes;
    for (const safetensors::Tensor& placed : header->tensors) {
      file += std::find_if(tensors.begin(), tensors.end(), [&](const Stored& one) {
                return one.spec.name == placed.name;
              })->bytes;
    }
    std::shared_ptr<Store> store = *OpenFileStore(*Uri::Parse(folder_.path()));
    ASSERT_TRUE(WriteSmallObject(*store, "model.safetensors", file, {.is_create_only = false}));
    if (config.empty()) return;
    ASSERT_TRUE(WriteSmallObject(*store, "config.json", config, {.is_create_only = false}));
  }

  Result<void> Open() {
    store_ = *OpenFileStore(*Uri::Parse(folder_.path()));
    MemoryBudget budget(64 << 20);
    CKPT_TRY(catalog_, OpenSource({store_, ""}, budget));
    return ReadScaledAsBF16(store_, catalog_);
  }

  const TensorEntry& Tensor(const std::string& name) const {
    const auto found = std::find_if(catalog_.tensors.begin(), catalog_.tensors.end(),
                                    [&](const TensorEntry& one) { return one.name == name; });
    EXPECT_NE(found, catalog_.tensors.end()) << name;
    return *found;
  }

  std::unique_ptr<ObjectReader> Reader(const TensorEntry& tensor) {
    return *store_->Open(catalog_.objects[tensor.pieces.front().object]);
  }

  // `count` elements from number `first` on, by the one way and the other.
  Result<std::string> Elements(const std::string& name, uint64_t first, uint64_t count,
                               bool is_window) {
    const TensorEntry& tensor = Tensor(name);
    const uint64_t begin = tensor.pieces.front().offset_bytes + first * 2;
    const ByteRange range{begin, begin + count * 2};
    const std::unique_ptr<ObjectReader> reader = Reader(tensor);
    if (!is_window) {
      std::string bytes(range.size(), '\0');
      CKPT_TRY_VOID(reader->Read(range, std::as_writable_bytes(std::span(bytes))));
      return bytes;
    }
    MemoryBudget budget(64 << 20);
    CKPT_TRY(Grant grant, budget.Acquire(AlignOutward(range, kIoAlignment).size()));
    CKPT_TRY(Buffer window, Buffer::Allocate(std::move(grant)));
    CKPT_TRY_VOID(
        reader->ReadWindow(range, window.span(0, AlignOutward(range, kIoAlignment).size())).get());
    const std::span<std::byte> at = window.span(begin % kIoAlignment, range.size());
    return std::string(reinterpret_cast<const char*>(at.data()), at.size());
  }

  // The same, or the error.
  std::string Read(const std::string& name, uint64_t first, uint64_t count, bool is_window) {
    Result<std::string> bytes = Elements(name, first, count, is_window);
    return bytes ? *bytes : "error: " + bytes.error().what;
  }

  TempFolder folder_;
  std::shared_ptr<Store> store_;
  Catalog catalog_;
};

template <class T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// Finite codes.
std::vector<uint8_t> Codes(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> codes(count);
  for (uint8_t& code : codes) {
    do {
      code = static_cast<uint8_t>(random());
    } while ((code & 0x7f) == 0x7f);
  }
  return codes;
}

// By the definition, one value at a time.
std::string Expected(const std::vector<uint8_t>& codes, size_t columns,
                     const std::function<float(size_t, size_t)>& scale) {
  std::vector<BF16> values;
  for (size_t i = 0; i < codes.size(); ++i) {
    const unsigned exponent = (codes[i] >> 3) & 15;
    const auto mantissa = static_cast<float>(codes[i] & 7);
    const float size = exponent == 0 ? std::ldexp(mantissa, -9)
                                     : std::ldexp(8 + mantissa, static_cast<int>(exponent) - 10);
    const float value = (codes[i] & 0x80) != 0 ? -size : size;
    values.push_back(ToBF16(value * scale(i / columns, i % columns)));
  }
  return BytesOf(values);
}

TEST_F(ScaledStoreTest, ReadsTheGoldensBlocks) {
  const Safetensors golden(kGolden);
  const auto bytes = [&](const std::string& name) { return std::string(golden.Bytes(name)); };
  // Its NaNs are refused: zeros in their place.
  std::string codes = bytes("deepseek.weight");
  std::string values = bytes("deepseek.bf16");
  for (size_t i = 0; i < codes.size(); ++i) {
    if ((codes[i] & 0x7f) == 0x7f) codes[i] = values[2 * i] = values[2 * i + 1] = 0;
  }
  Write({{{"deepseek.weight", DType::kF8E4M3, Shape{136, 264}}, codes},
         {{"deepseek.weight_scale_inv", DType::kF32, Shape{2, 3}},
          bytes("deepseek.weight_scale_inv")},
         {{"experts_blocks", DType::kU8, Shape{2, 6, 3, 16}}, bytes("gpt_oss.blocks")},
         {{"experts_scales", DType::kU8, Shape{2, 6, 3}}, bytes("gpt_oss.scales")},
         {{"plain", DType::kBF16, Shape{4}}, "12345678"}});
  ASSERT_TRUE(Open());
  ASSERT_EQ(catalog_.tensors.size(), 3U);
  EXPECT_EQ(Tensor("deepseek.weight").dtype, DType::kBF16);
  EXPECT_EQ(Tensor("experts").shape, (Shape{2, 6, 96}));
  for (const bool is_window : {false, true}) {
    EXPECT_TRUE(Read("deepseek.weight", 0, 136 * 264, is_window) == values);
    EXPECT_EQ(Read("plain", 0, 4, is_window), "12345678");
    // The golden is as transformers lays it: [experts, in, out].
    const std::string experts = Read("experts", 0, 2 * 6 * 96, is_window);
    const std::string theirs = bytes("gpt_oss.bf16");
    for (size_t e = 0; e < 2; ++e)
      for (size_t o = 0; o < 6; ++o)
        for (size_t i = 0; i < 96; ++i)
          ASSERT_EQ(experts.substr(((e * 6 + o) * 96 + i) * 2, 2),
                    theirs.substr(((e * 96 + i) * 6 + o) * 2, 2));
  }
}

TEST_F(ScaledStoreTest, AnyRangeOfAnyFormIsThatPartOfTheWhole) {
  constexpr size_t rows = 300;
  constexpr size_t columns = 1000;
  const std::vector<uint8_t> codes = Codes(rows * columns, 1);
  std::mt19937 random(2);
  std::uniform_real_distribution<float> real(0.001F, 3.0F);
  std::vector<float> blocks(CeilDiv(rows, 64) * CeilDiv(columns, 96));
  std::vector<BF16> channels(rows);
  std::vector<uint8_t> powers(rows);
  for (float& one : blocks) one = real(random);
  for (BF16& one : channels) one = ToBF16(real(random));
  for (uint8_t& one : powers) one = static_cast<uint8_t>(120 + random() % 12);
  const Shape shape{rows, columns};
  const std::string all = BytesOf(codes);
  Write({{{"a.weight", DType::kF8E4M3, shape}, all},
         {{"a.weight_scale_inv", DType::kF32, Shape{CeilDiv(rows, 64), CeilDiv(columns, 96)}},
          BytesOf(blocks)},
         {{"b.weight", DType::kF8E4M3, shape}, all},
         {{"b.weight_scale", DType::kBF16, Shape{rows, 1}}, BytesOf(channels)},
         {{"b.input_scale", DType::kF32, Shape{1}}, "abcd"},
         {{"c.weight", DType::kF8E4M3, shape}, all},
         {{"c.weight_scale", DType::kF8E8M0, Shape{rows, 1}}, BytesOf(powers)},
         {{"d.weight", DType::kF8E4M3, shape}, all},
         {{"d.weight_scale", DType::kF32, Shape{1}}, BytesOf(std::vector<float>{0.75F})}},
        R"({"quantization_config": {"weight_block_size": [64, 96]}})");
  ASSERT_TRUE(Open());
  ASSERT_EQ(catalog_.tensors.size(), 4U) << "scales are gone, those of activations too";
  EXPECT_EQ(catalog_.warnings.size(), 2U);
  const std::map<std::string, std::string> wanted = {
      {"a.weight", Expected(codes, columns,
                            [&](size_t r, size_t c) {
                              return blocks[r / 64 * CeilDiv(columns, 96) + c / 96];
                            })},
      {"b.weight", Expected(codes, columns, [&](size_t r, size_t) { return ToF32(channels[r]); })},
      {"c.weight",
       Expected(codes, columns, [&](size_t r, size_t) { return E8M0ToF32(powers[r]); })},
      {"d.weight", Expected(codes, columns, [](size_t, size_t) { return 0.75F; })}};
  for (const auto& [name, bytes] : wanted) {
    for (const bool is_window : {false, true}) {
      ASSERT_TRUE(Read(name, 0, rows * columns, is_window) == bytes) << name;
      for (int i = 0; i < 60; ++i) {
        const uint64_t first = random() % (rows * columns);
        const uint64_t most = i % 2 == 0 ? 3000 : 300'000;
        const uint64_t count = std::min<uint64_t>(1 + random() % most, rows * columns - first);
        ASSERT_TRUE(Read(name, first, count, is_window) == bytes.substr(first * 2, count * 2))
            << name << " " << first << " " << count;
      }
    }
  }
  EXPECT_GT(store_->held_bytes(), 0U);
}

TEST_F(ScaledStoreTest, ANanIsRefusedWhereItLies) {
  std::vector<uint8_t> codes = Codes(200 * 1000, 3);
  codes[150 * 1000 + 17] = 0xff;
  Write({{{"a.weight", DType::kF8E4M3, Shape{200, 1000}}, BytesOf(codes)},
         {{"a.weight_scale", DType::kF32, Shape{200, 1}}, BytesOf(std::vector<float>(200, 1.0F))},
         {{"b_blocks", DType::kU8, Shape{1, 2, 1, 16}}, std::string(32, '\0')},
         {{"b_scales", DType::kU8, Shape{1, 2, 1}}, std::string("\x7f\xff", 2)}});
  ASSERT_TRUE(Open());
  for (const bool is_window : {false, true}) {
    EXPECT_TRUE(Elements("a.weight", 0, 150'000, is_window));
    const auto nan = Elements("a.weight", 0, 200'000, is_window);
    ASSERT_FALSE(nan);
    EXPECT_EQ(nan.error().code, Code::kBadInput);
    EXPECT_NE(nan.error().what.find("[150, 17]"), std::string::npos) << nan.error().what;
    EXPECT_EQ(nan.error().where.at(0).value, "a.weight");
    EXPECT_TRUE(Elements("b", 0, 32, is_window));
    EXPECT_FALSE(Elements("b", 0, 64, is_window));
  }
}

TEST_F(ScaledStoreTest, ScalesThatDoNotFitAreRefused) {
  const std::string codes = BytesOf(Codes(300 * 300, 4));
  for (const Shape& shape : {Shape{2, 3}, Shape{3, 2}, Shape{299, 1}, Shape{300, 2}}) {
    uint64_t count = 1;
    for (const uint64_t extent : shape.extents) count *= extent;
    Write({{{"a.weight", DType::kF8E4M3, Shape{300, 300}}, codes},
           {{"a.weight_scale", DType::kF32, shape}, BytesOf(std::vector<float>(count, 1.0F))}});
    const auto opened = Open();
    ASSERT_FALSE(opened) << ToString(shape);
    EXPECT_EQ(opened.error().code, Code::kBadInput);
    EXPECT_EQ(opened.error().where.at(0).value, "a.weight");
  }
}

TEST_F(ScaledStoreTest, PlainSourcesStayAsTheyAre) {
  Write({{{"a.weight", DType::kBF16, Shape{2, 2}}, "12345678"},
         {{"a.weight_scale", DType::kF32, Shape{1}}, "abcd"}});
  ASSERT_TRUE(Open());
  EXPECT_EQ(catalog_.tensors.size(), 2U);
  EXPECT_EQ(catalog_.objects.size(), 1U);
  EXPECT_TRUE(catalog_.warnings.empty());
}

}  // namespace
}  // namespace ckpt

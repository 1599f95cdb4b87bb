// The kernels beside the bytes of llmcompressor, compressed-tensors and transformers: every tensor
// of integers and fp8 of tests/golden/compressed-tensors, and what dequantizes to bf16.
#include <algorithm>
#include <map>
#include <optional>
#include <span>

#include "kernel/compressed.h"
#include "kernel/scaled_float.h"
#include "tests/data.h"
#include "tests/read_safetensors.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class CompressedTensors : public KernelTest {};
CKPT_FOR_EACH_TARGET(CompressedTensors);

TEST(CompressedTensorsAccount, SomeTargetRuns) {
  EXPECT_FALSE(hwy::SupportedAndGeneratedTargets().empty());
}

const std::filesystem::path kRoot = TestData() / "golden/compressed-tensors";

enum class Strategy { kChannel, kGroup, kBlock, kTensor };
struct Scheme {
  CodeForm form;
  Strategy strategy = Strategy::kChannel;
  bool is_packed = false;
};
const std::map<std::string, Scheme, std::less<>> kSchemes = {
    {"w8a8", {{}, Strategy::kChannel, false}},
    {"w8a16-channel", {{}, Strategy::kChannel, true}},
    {"w8a16-channel-asym", {{.is_symmetric = false}, Strategy::kChannel, true}},
    {"w8a16-g128", {{}, Strategy::kGroup, true}},
    {"w4a16-channel", {{.bits = 4}, Strategy::kChannel, true}},
    {"w4a16-channel-asym", {{.bits = 4, .is_symmetric = false}, Strategy::kChannel, true}},
    {"w4a16", {{.bits = 4}, Strategy::kGroup, true}},
    {"w4a16-asym", {{.bits = 4, .is_symmetric = false}, Strategy::kGroup, true}},
    {"fp8-dynamic", {{.is_float = true}, Strategy::kChannel, false}},
    {"fp8-block", {{.is_float = true}, Strategy::kBlock, false}},
    {"fp8-tensor", {{.is_float = true}, Strategy::kTensor, false}},
};

// A Linear's weight [rows, columns] and what a scheme makes of it.
class Linear {
 public:
  Linear(const Safetensors& file, const std::string& name)
      : w_(reinterpret_cast<const BF16*>(file.Bytes(name).data())),
        n_rows_(file.Shape(name)[0]),
        n_columns_(file.Shape(name)[1]) {}

  // The bytes of a tensor's part: weight, weight_packed, weight_scale, weight_zero_point.
  std::map<std::string, std::vector<uint8_t>> Compress(const Scheme& scheme) {
    const bool is_tensor = scheme.strategy == Strategy::kTensor;
    const bool is_cut = scheme.strategy == Strategy::kGroup || scheme.strategy == Strategy::kBlock;
    group_rows_ = is_tensor ? n_rows_ : scheme.strategy == Strategy::kBlock ? 128 : 1;
    group_columns_ = is_cut ? 128 : n_columns_;
    n_groups_ = (n_columns_ + group_columns_ - 1) / group_columns_;
    codes_.assign(n_rows_ * n_columns_, 0);
    scales_.clear();
    zeros_.clear();
    for (size_t r = 0; r < n_rows_; r += group_rows_)
      Quantize(r, std::min(group_rows_, n_rows_ - r), scheme.form);

    std::map<std::string, std::vector<uint8_t>> parts;
    const auto* scales = reinterpret_cast<const uint8_t*>(scales_.data());
    parts["weight_scale"] = {scales, scales + scales_.size() * sizeof(BF16)};
    if (!scheme.is_packed) {
      parts["weight"] = codes_;
      return parts;
    }
    const int bits = scheme.form.bits;
    std::vector<uint8_t> packed(n_rows_ * PackedBytes(n_columns_, bits));
    for (size_t r = 0; r < n_rows_; ++r) {
      PackCodes(codes_.data() + r * n_columns_, n_columns_, bits,
                packed.data() + r * PackedBytes(n_columns_, bits));
    }
    parts["weight_packed"] = packed;
    if (!scheme.form.is_symmetric) {
      std::vector<uint8_t> words(PackedBytes(n_rows_, bits) * n_groups_);
      PackZeroPoints(zeros_.data(), n_rows_, n_groups_, bits, words.data());
      parts["weight_zero_point"] = words;
    }
    return parts;
  }

 private:
  const BF16* Row(size_t r) const { return w_ + r * n_columns_; }

  // A stripe of groups: step by step, and by the call that does all of it.
  void Quantize(size_t first_row, size_t n, CodeForm form) {
    std::vector<const BF16*> rows;
    for (size_t r = 0; r < n; ++r) rows.push_back(Row(first_row + r));
    std::optional<size_t> first_bad;
    for (size_t g = 0; g < n_groups_; ++g) {
      const size_t column = g * group_columns_;
      const size_t columns = std::min(group_columns_, n_columns_ - column);
      GroupRange range;
      for (const BF16* row : rows) range = Merge(range, RangeBF16(row + column, columns));
      const GroupScale scale = ScaleOf(range, form);
      if (!scale.IsFinite() && !first_bad) first_bad = g;
      scales_.push_back(scale.scale);
      zeros_.push_back(scale.zero);
      for (size_t r = 0; r < n; ++r) {
        QuantizeRowBF16(rows[r] + column, columns, scale, form,
                        codes_.data() + (first_row + r) * n_columns_ + column);
      }
    }
    std::vector<BF16> scales(n_groups_);
    std::vector<int8_t> zeros(n_groups_);
    std::vector<uint8_t> codes(n * n_columns_);
    EXPECT_EQ(QuantizeGroupsBF16(rows.data(), n, n_columns_, group_columns_, form, scales.data(),
                                 zeros.data(), codes.data(), n_columns_),
              first_bad.value_or(n_groups_));
    if (first_bad) return;
    EXPECT_TRUE(std::ranges::equal(scales, std::span(scales_).last(n_groups_)));
    EXPECT_TRUE(std::ranges::equal(zeros, std::span(zeros_).last(n_groups_)));
    EXPECT_TRUE(
        std::ranges::equal(codes, std::span(codes_).subspan(first_row * n_columns_, codes.size())));
  }

  const BF16* w_;
  size_t n_rows_, n_columns_;
  size_t group_rows_ = 0, group_columns_ = 0, n_groups_ = 0;
  std::vector<uint8_t> codes_;
  std::vector<BF16> scales_;
  std::vector<int8_t> zeros_;
};

// Every tensor SCHEME.PART of `golden` that a scheme of ours makes; returns how many there were.
size_t ExpectVectors(const Safetensors& golden, const Safetensors& source, bool is_rounded) {
  size_t compared = 0;
  for (const auto& [name, entry] : golden.header.items()) {
    const bool is_ragged = name.starts_with("ragged.");
    const std::string rest = is_ragged ? name.substr(7) : name;
    const std::string part = rest.substr(rest.find('.') + 1);
    const auto found = kSchemes.find(rest.substr(0, rest.find('.')));
    if (found == kSchemes.end() || part == "weight_shape") continue;
    Scheme scheme = found->second;
    scheme.form.is_quotient_rounded = is_rounded;
    Linear linear(source, is_ragged ? "RAGGED" : "W");
    EXPECT_TRUE(SameBytes(linear.Compress(scheme)[part], golden.Bytes(name))) << name;
    ++compared;
  }
  return compared;
}

TEST_P(CompressedTensors, QuantizesAsTheLibraryDoesOnACpu) {
  const Safetensors vectors(kRoot / "vectors.safetensors");
  EXPECT_EQ(ExpectVectors(vectors, vectors, true), 25U + 18U);
}

TEST_P(CompressedTensors, QuantizesAsTheLibraryDoesByQuotientsInFloat32) {
  const Safetensors golden(kRoot / "vectors-f32-quotient.safetensors");
  EXPECT_EQ(ExpectVectors(golden, Safetensors(kRoot / "vectors.safetensors"), false), 7U);
}

TEST_P(CompressedTensors, QuantizesWholeModelsAsLlmcompressorDoes) {
  const Safetensors source(kRoot / "input/model.safetensors");
  for (const char* folder :
       {"w8a16-channel", "w8a16-g128", "w4a16", "w4a16-asym", "w8a8", "fp8-dynamic", "fp8-block"}) {
    const Safetensors golden(kRoot / folder / "model.safetensors");
    Scheme scheme = kSchemes.at(folder);
    scheme.form.is_quotient_rounded = true;
    size_t modules = 0;
    for (const auto& [name, entry] : golden.header.items()) {
      if (!name.ends_with(".weight_scale")) continue;
      const std::string module = name.substr(0, name.rfind('.') + 1);
      for (const auto& [part, bytes] : Linear(source, module + "weight").Compress(scheme))
        EXPECT_TRUE(SameBytes(bytes, golden.Bytes(module + part)))
            << folder << ' ' << module << part;
      ++modules;
    }
    EXPECT_EQ(modules, 7U) << folder;
  }
}

// ---- back to bf16

// Any NaN is one NaN.
uint16_t Canonical(BF16 x) { return (x.bits & 0x7fff) > 0x7f80 ? uint16_t{0x7fc0} : x.bits; }

struct Dequantized : Safetensors {
  Dequantized() : Safetensors(kRoot / "dequant.safetensors") {}
  template <class T>
  std::vector<T> Read(const std::string& name) const {
    std::vector<T> values(Bytes(name).size() / sizeof(T));
    std::memcpy(values.data(), Bytes(name).data(), Bytes(name).size());
    return values;
  }
  // `golden` from its rows of codes, with the scales of row r.
  template <class ScalesOf>
  void ExpectRows(const std::string& golden, size_t block_columns, ScalesOf scales_of) const {
    const auto codes = Read<uint8_t>("deepseek.weight");
    const auto expected = Read<BF16>(golden);
    const size_t columns = Shape("deepseek.weight")[1];
    ASSERT_GE(expected.size(), 16 * columns);
    std::vector<BF16> row(columns);
    std::vector<float> exact(columns);
    for (size_t r = 0; r < expected.size() / columns; ++r) {
      const float* scales = scales_of(r);
      DequantizeE4M3(codes.data() + r * columns, columns, scales, block_columns, row.data());
      DequantizeE4M3(codes.data() + r * columns, columns, scales, block_columns, exact.data());
      for (size_t c = 0; c < columns; ++c) {
        EXPECT_EQ(Canonical(row[c]), Canonical(expected[r * columns + c])) << r << ' ' << c;
        EXPECT_EQ(Canonical(ToBF16(exact[c])), Canonical(row[c])) << r << ' ' << c;
      }
    }
  }
};

TEST_P(CompressedTensors, DequantizesBlocksOfFp8) {
  const Dequantized file;
  const auto scales = file.Read<float>("deepseek.weight_scale_inv");
  file.ExpectRows("deepseek.bf16", 128, [&](size_t r) { return scales.data() + r / 128 * 3; });
  const auto codes = file.Read<uint8_t>("deepseek.weight");
  EXPECT_EQ(FindNanE4M3(codes.data(), codes.size()), 264U + 3);
}

TEST_P(CompressedTensors, DequantizesChannelsOfFp8) {
  const Dequantized file;
  std::vector<float> widened;
  for (const BF16 scale : file.Read<BF16>("ct_channel.weight_scale"))
    widened.push_back(ToF32(scale));
  file.ExpectRows("ct_channel.bf16", 264, [&](size_t r) { return &widened[r]; });
  const auto scales = file.Read<float>("ct_channel.f32_scale");
  file.ExpectRows("ct_channel.f32_scale.bf16", 264, [&](size_t r) { return &scales[r]; });
}

TEST_P(CompressedTensors, DequantizesMxfp4OfExperts) {
  const Dequantized file;
  const auto blocks = file.Read<uint8_t>("gpt_oss.blocks");
  const auto scales = file.Read<uint8_t>("gpt_oss.scales");
  const auto expected = file.Read<BF16>("gpt_oss.bf16");
  ASSERT_EQ(expected.size(), scales.size() * kMxBlock);
  EXPECT_EQ(FindNanE8M0(scales.data(), scales.size()), scales.size());
  std::vector<BF16> out(expected.size());
  std::vector<float> exact(expected.size());
  DequantizeMxfp4(blocks.data(), scales.data(), scales.size(), out.data());
  DequantizeMxfp4(blocks.data(), scales.data(), scales.size(), exact.data());
  // The golden is [E, I, O], the stored form [E, O, I].
  const auto shape = file.Shape("gpt_oss.bf16");
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t e = i / (shape[1] * shape[2]);
    const size_t o = i / shape[1] % shape[2];
    const size_t column = i % shape[1];
    EXPECT_EQ(out[i], expected[(e * shape[1] + column) * shape[2] + o]) << i;
    EXPECT_EQ(ToBF16(exact[i]), out[i]) << i;
  }
}

}  // namespace
}  // namespace ckpt

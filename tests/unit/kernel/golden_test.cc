// The kernels beside the bytes of the original tools: ggml's dequantizers and JetStream-PyTorch's
// converter.
#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>

#include "base/dtype.h"
#include "base/message_digest.h"
#include "kernel/convert.h"
#include "kernel/quantize.h"
#include "tests/data.h"
#include "tests/read_file.h"
#include "tests/read_safetensors.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {
namespace {

class KernelGolden : public KernelTest {};
CKPT_FOR_EACH_TARGET(KernelGolden);

const std::filesystem::path kGolden = TestData() / "golden";

std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Just enough of GGUF for the one good file: numbers and strings in order.
class GgufReader {
 public:
  explicit GgufReader(std::string_view file) : file_(file) {}
  template <class T>
  T Number() {
    T value;
    std::memcpy(&value, file_.substr(at_, sizeof(T)).data(), sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string String() {
    const auto size = Number<uint64_t>();
    at_ += size;
    return std::string(file_.substr(at_ - size, size));
  }
  void SkipValue(uint32_t type) {
    constexpr std::array<size_t, 13> sizes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      String();
    } else if (type == 9) {
      const auto element = Number<uint32_t>();
      for (auto left = Number<uint64_t>(); left > 0; --left) SkipValue(element);
    } else {
      at_ += sizes[type];
    }
  }
  size_t at() const { return at_; }

 private:
  std::string_view file_;
  size_t at_ = 0;
};

struct GgufTensor {
  DType dtype = DType::kF32;
  size_t elements = 0;
  std::string_view bytes;
};
std::map<std::string, GgufTensor> ReadGguf(std::string_view file) {
  GgufReader in(file.substr(8));  // after magic and version
  const auto n_tensors = in.Number<uint64_t>();
  const auto n_values = in.Number<uint64_t>();
  for (uint64_t i = 0; i < n_values; ++i) {
    in.String();
    in.SkipValue(in.Number<uint32_t>());
  }
  std::map<std::string, GgufTensor> tensors;
  std::map<std::string, uint64_t> offsets;
  for (uint64_t i = 0; i < n_tensors; ++i) {
    const std::string name = in.String();
    size_t elements = 1;
    for (auto left = in.Number<uint32_t>(); left > 0; --left) elements *= in.Number<uint64_t>();
    tensors[name] = {GgmlDType(in.Number<uint32_t>()).value(), elements, {}};
    offsets[name] = in.Number<uint64_t>();
  }
  const size_t data = (8 + in.at() + 31) / 32 * 32;
  for (auto& [name, tensor] : tensors) {
    const DTypeInfo& info = Info(tensor.dtype);
    tensor.bytes =
        file.substr(data + offsets[name], tensor.elements / info.block_elements * info.block_bytes);
  }
  return tensors;
}

TEST_P(KernelGolden, DequantizesAsGgmlDoes) {
  const auto expected = nlohmann::json::parse(ReadFile(kGolden / "sources/expected.json"));
  const auto& hashes = expected.at("files").at("ok/gguf_every_type.gguf").at("tensors");
  const std::string file = ReadFile(kGolden / "sources/ok/gguf_every_type.gguf");
  const auto tensors = ReadGguf(file);
  size_t compared = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto& golden = hashes.at(name).at("dequantized_f32_sha256");
    if (golden.is_null()) continue;  // F64 and integers: no question of the package
    ++compared;
    std::vector<std::byte> f32(tensor.elements * sizeof(float));
    const ConvertFn convert = FindConvert(tensor.dtype, DType::kF32);
    ASSERT_NE(convert, nullptr) << name;
    convert(AsBytes(tensor.bytes).data(), f32.data(), tensor.elements);
    Sha256 hash;
    hash.Update(f32);
    EXPECT_EQ(hash.Finish(), golden.get<std::string>()) << name;
  }
  EXPECT_EQ(compared, 15U);
}

// A weight as rows of its last axis, and what becomes of it.
struct Quantized {
  Quantized(std::string_view weight, size_t columns)
      : w(reinterpret_cast<const BF16*>(weight.data())),
        n_columns(columns),
        n_rows(weight.size() / sizeof(BF16) / columns),
        q(n_rows * columns) {}

  void PerChannel(int bits) {
    scales.resize(n_rows);
    for (size_t r = 0; r < n_rows; ++r) {
      const BF16* row = w + r * n_columns;
      const QuantScale scale = ScaleOf(AbsMaxBF16(row, n_columns), bits);
      scales[r] = scale.scale;
      QuantizeRowBF16(row, n_columns, scale.reciprocal, bits, q.data() + r * n_columns);
    }
  }
  void PerColumn() {
    std::vector<uint16_t> maxima(n_columns);
    for (size_t r = 0; r < n_rows; ++r)
      ColumnAbsMaxBF16(w + r * n_columns, n_columns, maxima.data());
    std::vector<BF16> reciprocals;
    for (const uint16_t max : maxima) {
      scales.push_back(ScaleOf(max, 8).scale);
      reciprocals.push_back(ScaleOf(max, 8).reciprocal);
    }
    for (size_t r = 0; r < n_rows; ++r) {
      QuantizeColumnsBF16(w + r * n_columns, reciprocals.data(), n_columns,
                          q.data() + r * n_columns);
    }
  }
  void Blockwise(int bits) {
    const size_t n_blocks = n_columns / kQuantBlock;
    scales.resize(n_blocks * n_rows);
    std::vector<const BF16*> rows;
    for (size_t r = 0; r < n_rows; ++r) rows.push_back(w + r * n_columns);
    std::vector<std::byte> collected(n_blocks * CollectedBlockBytes(bits) * n_rows);
    QuantizeBlocksBF16(rows.data(), n_rows, n_blocks, bits, collected.data(), n_rows, scales.data(),
                       n_rows);
    if (bits == 8) {
      std::memcpy(q.data(), collected.data(), q.size());
      return;
    }
    const size_t half = kQuantBlock / 2 * n_rows;
    for (size_t i = 0; i < 2 * n_blocks; ++i)
      UnpackHalfBytes(collected.data() + i / 2 * half, half, i % 2 == 1, q.data() + i * half);
  }

  const BF16* w;
  size_t n_columns, n_rows;
  std::vector<int8_t> q;
  std::vector<BF16> scales;
};

// Every quantized tensor of `family`/`type` from the bf16 one; returns how many there were.
size_t ExpectFile(const std::string& family, const std::string& type) {
  const auto folder = kGolden / "jetstream-pytorch" / family;
  const Safetensors source(folder / "bf16/model.safetensors");
  const Safetensors golden(folder / type / "model.safetensors");
  const int bits = type.starts_with("int8") ? 8 : 4;
  size_t count = 0;
  for (const auto& [scaler, entry] : golden.header.items()) {
    if (!scaler.ends_with("_scaler")) continue;
    const std::string name = scaler.substr(0, scaler.size() - 7);
    Quantized ours(source.Bytes(name), source.Shape(name).back());
    if (name.starts_with("tok_embeddings") || name.starts_with("embedder")) {
      ours.PerColumn();
    } else if (type.ends_with("per_channel")) {
      ours.PerChannel(bits);
    } else {
      ours.Blockwise(bits);
    }
    EXPECT_TRUE(SameBytes(ours.q, golden.Bytes(name))) << family << ' ' << type << ' ' << name;
    EXPECT_TRUE(SameBytes(ours.scales, golden.Bytes(scaler)))
        << family << ' ' << type << ' ' << scaler;
    ++count;
  }
  return count;
}

TEST_P(KernelGolden, QuantizesAsJetStreamDoes) {
  for (const char* family : {"llama-3-hf", "llama-2-meta", "gemma"}) {
    for (const char* type :
         {"int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"})
      EXPECT_GE(ExpectFile(family, type), 8U) << family << ' ' << type;
  }
}

TEST_P(KernelGolden, QuantizesExpertsOverTheLastAxis) {
  EXPECT_GE(ExpectFile("mixtral", "int8_per_channel"), 8U);
  EXPECT_GE(ExpectFile("mixtral", "int4_per_channel"), 8U);
}

}  // namespace
}  // namespace ckpt

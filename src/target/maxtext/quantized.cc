#include "target/maxtext/quantized.h"

#include <array>

#include "base/check.h"

namespace ckpt::maxtext {
namespace {

constexpr std::array<QuantizedOutput, 5> kQuantized = {{
    {"int8", QuantType::kInt8, DType::kI8,
     "weights int8 per output channel with bf16 scales; the server quantizes activations to int8",
     "int8", "", ""},
    {"int8w", QuantType::kInt8, DType::kI8,
     "weights int8 per output channel with bf16 scales; activations stay bf16", "intmp",
     "int8_weight_only.json", "{\n  \"__default__\": {\"w_bits\": 8, \"a_bits\": null}\n}\n"},
    {"intmp", QuantType::kInt8, DType::kI8,
     "mixed precision as its JSON file says: weights int8 per output channel with bf16 scales; "
     "activations stay bf16",
     "intmp", "int8_weight_only.json",
     "{\n  \"__default__\": {\"w_bits\": 8, \"a_bits\": null}\n}\n"},
    {"int4w", QuantType::kInt4, DType::kI4,
     "weights int4 (stored one to a byte) per output channel with bf16 scales; activations stay "
     "bf16",
     "intmp", "int4_weight_only.json",
     "{\n  \"__default__\": {\"w_bits\": 4, \"a_bits\": null}\n}\n"},
    {"fp8", QuantType::kFp8E4M3, DType::kF8E4M3,
     "weights float8 e4m3 per output channel with bf16 scales; activations stay bf16", "intmp",
     "fp8_weight_only.json", "{\n  \"__default__\": {\"w_bits\": \"e4m3\"}\n}\n"},
}};

PathKey Key(std::string name) { return {std::move(name), false}; }

// "params/params/decoder/..." without its two first keys.
std::span<const std::string> Inside(std::span<const std::string> path) {
  CKPT_CHECK(path.size() > 2 && path[0] == "params" && path[1] == "params");
  return path.subspan(2);
}

// The folder of a kernel's frozen tensors.
std::vector<PathKey> Frozen(std::span<const std::string> kernel, QuantLayout layout) {
  std::span<const std::string> inside = Inside(kernel);
  CKPT_CHECK(inside.back() == "kernel");
  inside = inside.first(inside.size() - 1);
  std::vector<PathKey> path;
  if (layout == QuantLayout::kLinen) path = {Key("params"), Key("aqt")};
  for (const std::string& name : inside) path.push_back(Key(name));
  for (const char* name : {"AqtDotGeneral_0", "qrhs", "frozen"}) path.push_back(Key(name));
  if (layout == QuantLayout::kNnx) path.push_back(Key("value"));
  return path;
}

}  // namespace

std::optional<QuantizedOutput> FindQuantized(std::string_view name) {
  for (const QuantizedOutput& output : kQuantized) {
    if (output.name == name) return output;
  }
  return std::nullopt;
}

std::vector<std::string> QuantizedNames() {
  std::vector<std::string> names;
  names.reserve(kQuantized.size());
  for (const QuantizedOutput& output : kQuantized) names.emplace_back(output.name);
  return names;
}

std::vector<PathKey> QuantizedValuePath(std::span<const std::string> kernel, QuantLayout layout) {
  std::vector<PathKey> path = Frozen(kernel, layout);
  path.push_back(Key("qvalue"));
  return path;
}

std::vector<PathKey> QuantizedScalePath(std::span<const std::string> kernel, QuantLayout layout) {
  std::vector<PathKey> path = Frozen(kernel, layout);
  path.push_back(Key("scale"));
  path.push_back({"0", true});  // a list of one
  return path;
}

std::vector<PathKey> PlainPath(std::span<const std::string> leaf, QuantLayout layout) {
  std::vector<PathKey> path;
  const std::span<const std::string> names = layout == QuantLayout::kNnx ? Inside(leaf) : leaf;
  for (const std::string& name : names) path.push_back(Key(name));
  if (layout == QuantLayout::kNnx) path.push_back(Key("value"));
  return path;
}

std::vector<Placeholder> QuantizedPlaceholders(std::span<const std::string> kernel,
                                               QuantLayout layout) {
  if (layout == QuantLayout::kNnx) return {};
  std::vector<PathKey> scale_t = Frozen(kernel, layout);
  std::vector<PathKey> bias = scale_t;
  scale_t.push_back(Key("scale_t"));
  bias.push_back(Key("bias"));
  return {{scale_t, "None"}, {bias, "List"}, {PlainPath(kernel, layout), "Dict"}};
}

}  // namespace ckpt::maxtext

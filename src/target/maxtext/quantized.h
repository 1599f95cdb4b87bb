#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/chunked_target.h"

namespace ckpt::maxtext {

/// A word of --outputs that asks for a quantized tree.
struct QuantizedOutput {
  std::string_view name;  ///< "int8", "int4w"
  QuantType type;
  DType dtype;                           ///< of the stored values, one to a byte
  std::string_view meaning;              ///< for people
  std::string_view server_quantization;  ///< the server's `quantization=`
  std::string_view config_file;          ///< the JSON that the server needs beside, or ""
  std::string_view config_text;
};
/// Nothing for words that are no quantized type.
std::optional<QuantizedOutput> FindQuantized(std::string_view name);
std::vector<std::string> QuantizedNames();

enum class QuantLayout : uint8_t {
  kLinen,  ///< the original's tree: collections `aqt` and `params`
  kNnx,    ///< what today's default server reads
};

/// Where the parts of a quantized kernel go. `kernel`: its path in the unscanned tree
/// ("params/params/decoder/layers_0/mlp/wo/kernel").
std::vector<PathKey> QuantizedValuePath(std::span<const std::string> kernel, QuantLayout layout);
std::vector<PathKey> QuantizedScalePath(std::span<const std::string> kernel, QuantLayout layout);
/// Where a tensor that is not quantized goes.
std::vector<PathKey> PlainPath(std::span<const std::string> leaf, QuantLayout layout);
/// Nodes without data that the original has for each quantized kernel (Linen alone).
std::vector<Placeholder> QuantizedPlaceholders(std::span<const std::string> kernel,
                                               QuantLayout layout);

}  // namespace ckpt::maxtext

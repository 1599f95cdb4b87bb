#include "target/safetensors/layout.h"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>

namespace ckpt {
namespace {

constexpr size_t kMostFaults = 20;

}  // namespace

bool IsSafetensorsName(std::string_view object_name) {
  return object_name.find('/') == std::string_view::npos &&
         (object_name.ends_with(".safetensors") ||
          object_name.ends_with(".safetensors.index.json"));
}

Result<void> CheckCasts(const TargetSettings& settings) {
  if (!settings.is_dtype_preserved || settings.quantize.empty()) return {};
  return Fail(Code::kUsage,
              "--preserve-dtype and --quantize exclude each other: quantizing starts from bf16",
              "leave one of them out");
}

Result<FileSpec> LayOutFile(const OutputSpec& output, std::span<const size_t> arrays,
                            std::string name,
                            const std::optional<safetensors::Metadata>& metadata) {
  std::vector<safetensors::TensorSpec> tensors;
  std::unordered_map<std::string_view, size_t> index;
  for (const size_t i : arrays) {
    tensors.push_back({output.arrays[i].name, output.arrays[i].dtype, output.arrays[i].shape});
    index.emplace(output.arrays[i].name, i);
  }
  CKPT_TRY(safetensors::EncodedHeader header,
           safetensors::EncodeHeader(std::move(tensors), metadata));
  FileSpec file;
  file.name = std::move(name);
  for (const safetensors::Tensor& tensor : header.tensors) {
    file.arrays.push_back(index.at(tensor.name));
    file.offsets.push_back(header.bytes.size() + tensor.data.begin);
  }
  file.size_bytes = header.bytes.size() + header.data_bytes;
  file.header = std::move(header.bytes);
  return file;
}

void TensorFaults::Add(Code code, std::string what, std::string remedy) {
  if (faults_.empty()) {
    code_ = code;
    remedy_ = std::move(remedy);
  }
  faults_.push_back(std::move(what));
}

bool TensorFaults::AddUnlessFloat(std::string_view tensor, DType dtype) {
  if (Info(dtype).is_float) return false;
  Add(Code::kBadInput,
      fmt::format("tensor \"{}\" holds {}, weights are floating point", tensor, Name(dtype)),
      "this checkpoint is quantized in a way that cannot be read: convert from the original "
      "weights");
  return true;
}

Result<void> TensorFaults::Get() && {
  if (faults_.empty()) return {};
  Error error{
      code_,
      faults_.size() == 1 ? faults_.front() : fmt::format("{} tensors do not fit", faults_.size()),
      {},
      {},
      remedy_};
  if (faults_.size() > 1) error.details = std::move(faults_);
  if (error.details.size() > kMostFaults) {
    const size_t more = error.details.size() - kMostFaults;
    error.details.resize(kMostFaults);
    error.details.push_back(fmt::format("and {} more", more));
  }
  return Fail(std::move(error));
}

DType CastDType(DType source, bool is_preserved) {
  const bool is_kept = is_preserved && (source == DType::kF32 || source == DType::kF16);
  return is_kept ? source : DType::kBF16;
}

std::vector<std::string> CastWarnings(const std::map<DType, size_t>& counts, bool is_preserved) {
  std::vector<std::string> warnings;
  for (const auto& [dtype, count] : counts) {
    if (Info(dtype).is_gguf_block) {
      warnings.push_back(
          fmt::format("{} tensors are {} already: the output holds what they dequantize to", count,
                      Name(dtype)));
    } else if (dtype != DType::kBF16 && CastDType(dtype, is_preserved) == DType::kBF16) {
      warnings.push_back(fmt::format("{} tensors are {}: rounded to BF16", count, Name(dtype)));
    }
  }
  return warnings;
}

}  // namespace ckpt

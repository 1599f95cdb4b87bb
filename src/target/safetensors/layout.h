#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "format/safetensors/header.h"
#include "plan/target.h"

namespace ckpt {

/// Those of an output's arrays as one file in the reference writer's order. Errors: as
/// safetensors::EncodeHeader.
Result<FileSpec> LayOutFile(const OutputSpec& output, std::span<const size_t> arrays,
                            std::string name, const std::optional<safetensors::Metadata>& metadata);

/// Whether this object of an output's folder is one that a loader of safetensors would open.
bool IsSafetensorsName(std::string_view object_name);

/// Refuses settings that exclude each other in every target of this format (kUsage).
Result<void> CheckCasts(const TargetSettings& settings);

/// Collects what keeps tensors out of a format, so that a user sees it all at once. The first fault
/// gives code and remedy.
class TensorFaults {
 public:
  void Add(Code code, std::string what, std::string remedy);
  /// Adds one where the type holds no floating-point numbers; whether it did.
  bool AddUnlessFloat(std::string_view tensor, DType dtype);
  Result<void> Get() &&;

 private:
  std::vector<std::string> faults_;
  Code code_ = Code::kBadInput;
  std::string remedy_;
};

/// What an array of a cast holds of a source's type: F32 and F16 stay where they are to be kept.
DType CastDType(DType source, bool is_preserved);

/// What users are told of types that were no bf16. `counts`: tensors by type.
std::vector<std::string> CastWarnings(const std::map<DType, size_t>& counts, bool is_preserved);

}  // namespace ckpt

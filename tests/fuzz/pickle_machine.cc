#include <cstddef>
#include <cstdint>
#include <string_view>

#include "format/pickle/legacy.h"
#include "format/pickle/state_dict.h"
#include "tests/fuzz/expect.h"

namespace ckpt::pickle {
namespace {

// What is accepted lies inside its storage, whatever the strides.
void CheckTensor(const Tensor& tensor, const Storage& storage) {
  FUZZ_EXPECT(tensor.byte_strides.size() == tensor.shape.rank());
  const auto elements = tensor.shape.Elements();
  FUZZ_EXPECT(elements && TensorBytes(tensor.dtype, tensor.shape));
  if (*elements == 0) return;
  uint64_t end = tensor.offset_bytes + ElementBytes(tensor.dtype);
  for (size_t axis = 0; axis < tensor.shape.rank(); ++axis) {
    if (tensor.shape[axis] > 1) end += (tensor.shape[axis] - 1) * tensor.byte_strides[axis];
  }
  FUZZ_EXPECT(end <= storage.size_bytes);
}

void Run(std::string_view pickle) {
  const auto dict = DecodeStateDict(pickle, {.memory_bytes = 4 << 20});
  const auto length = FindPickleEnd(pickle, 0);
  if (!dict) {
    FUZZ_EXPECT(dict.error().code == Code::kBadInput || dict.error().code == Code::kResources);
    FUZZ_EXPECT(!dict.error().what.empty() && !dict.error().remedy.empty());
    return;
  }
  FUZZ_EXPECT(length && *length == pickle.size());
  for (const Tensor& tensor : dict->tensors) {
    FUZZ_EXPECT(tensor.storage < dict->storages.size());
    CheckTensor(tensor, dict->storages[tensor.storage]);
  }
}

}  // namespace
}  // namespace ckpt::pickle

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::pickle::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

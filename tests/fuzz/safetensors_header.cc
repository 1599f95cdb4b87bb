#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "format/safetensors/header.h"
#include "tests/fuzz/expect.h"

namespace ckpt::safetensors {
namespace {

EncodedHeader Encode(const Header& header) {
  std::vector<TensorSpec> specs;
  for (const Tensor& tensor : header.tensors)
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  auto encoded = EncodeHeader(std::move(specs), header.metadata);
  FUZZ_EXPECT(encoded);  // all that is read can be written
  return *std::move(encoded);
}

// The text that the encoder writes is canonical: decoding and encoding it again changes nothing.
void ExpectCanonical(const Header& header) {
  const EncodedHeader encoded = Encode(header);
  const auto again = DecodeHeader(std::string_view(encoded.bytes).substr(kLengthBytes),
                                  encoded.bytes.size() + encoded.data_bytes);
  FUZZ_EXPECT(again);
  FUZZ_EXPECT(Encode(*again).bytes == encoded.bytes);
  FUZZ_EXPECT(again->metadata == header.metadata);
  FUZZ_EXPECT(again->tensors.size() == header.tensors.size());
}

void ExpectWholeFileCovered(const Header& header, uint64_t data_bytes) {
  uint64_t end = 0;
  for (const Tensor& tensor : header.tensors) {
    FUZZ_EXPECT(tensor.data.begin == end && tensor.data.end >= end);
    FUZZ_EXPECT(TensorBytes(tensor.dtype, tensor.shape) == tensor.data.size());
    end = tensor.data.end;
  }
  FUZZ_EXPECT(end == data_bytes);
}

void Run(std::string_view file) {
  const auto length = DecodeHeaderLength(file, file.size());
  if (!length) {
    FUZZ_EXPECT(!length.error().remedy.empty());
    return;
  }
  const auto header = DecodeHeader(file.substr(kLengthBytes, *length), file.size());
  if (!header) {
    FUZZ_EXPECT(header.error().code == Code::kBadInput && !header.error().remedy.empty());
    return;
  }
  ExpectCanonical(*header);
  ExpectWholeFileCovered(*header, file.size() - kLengthBytes - *length);
}

}  // namespace
}  // namespace ckpt::safetensors

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::safetensors::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

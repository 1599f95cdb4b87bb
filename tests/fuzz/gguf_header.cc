#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "format/gguf/header.h"
#include "tests/fuzz/expect.h"

namespace ckpt::gguf {
namespace {

Result<Header> Decode(std::string_view file, size_t window_bytes) {
  std::vector<std::byte> window(window_bytes);
  const ReadBytes read = [&](ByteRange range, std::span<std::byte> into) -> Result<void> {
    FUZZ_EXPECT(range.begin < range.end && range.end <= file.size() && range.size() == into.size());
    std::memcpy(into.data(), file.data() + range.begin, into.size());
    return {};
  };
  return DecodeHeader(read, file.size(), window, 1ULL << 20U);
}

// GGUF is never written by us, so there is no encoder to hold against; the window must not matter,
// and what is accepted must lie in the file.
void Run(std::string_view file) {
  const auto header = Decode(file, 16);
  const auto other = Decode(file, 4096);
  FUZZ_EXPECT(header.has_value() == other.has_value());
  if (!header) {
    FUZZ_EXPECT(header.error().code == Code::kBadInput || header.error().code == Code::kResources);
    FUZZ_EXPECT(header.error().what == other.error().what && !header.error().remedy.empty());
    return;
  }
  FUZZ_EXPECT(header->header_bytes == other->header_bytes &&
              header->values.size() == other->values.size());
  for (size_t i = 0; i < header->tensors.size(); ++i) {
    const Tensor& tensor = header->tensors[i];
    FUZZ_EXPECT(tensor.name == other->tensors[i].name && tensor.data == other->tensors[i].data);
    FUZZ_EXPECT(tensor.data.begin >= header->data_begin && tensor.data.end <= file.size());
    FUZZ_EXPECT((tensor.data.begin - header->data_begin) % header->alignment == 0);
    FUZZ_EXPECT(TensorBytes(tensor.dtype, tensor.shape) == tensor.data.size());
  }
}

}  // namespace
}  // namespace ckpt::gguf

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ckpt::gguf::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}

#include "source/element_form.h"

#include <algorithm>

#include "base/check.h"

namespace ckpt {
namespace {

constexpr std::byte kSignBit{0x80};

// A complex number is two of its parts.
size_t NumberBytes(DType dtype) { return dtype == DType::kC64 ? 4 : ElementBytes(dtype); }

template <size_t kBytes>
void SwapEach(std::span<std::byte> bytes) {
  for (size_t at = 0; at + kBytes <= bytes.size(); at += kBytes)
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                 bytes.begin() + static_cast<std::ptrdiff_t>(at + kBytes));
}

void Swap(size_t number_bytes, std::span<std::byte> bytes) {
  if (number_bytes == 2) SwapEach<2>(bytes);
  if (number_bytes == 4) SwapEach<4>(bytes);
  if (number_bytes == 8) SwapEach<8>(bytes);
}

// Of every number, or of every second one.
void FlipSigns(size_t first, size_t step, std::span<std::byte> bytes) {
  for (size_t at = first; at < bytes.size(); at += step) bytes[at] ^= kSignBit;
}

}  // namespace

void ToPlain(DType dtype, const ElementForm& form, std::span<std::byte> elements) {
  if (form.IsPlain()) return;
  const size_t bytes = NumberBytes(dtype);
  CKPT_CHECK(elements.size() % ElementBytes(dtype) == 0);
  if (form.is_big_endian) Swap(bytes, elements);
  // The sign is the highest bit of a little-endian number's last byte.
  if (form.is_negated) FlipSigns(bytes - 1, bytes, elements);
  if (form.is_conjugated) FlipSigns(2 * bytes - 1, 2 * bytes, elements);
}

}  // namespace ckpt

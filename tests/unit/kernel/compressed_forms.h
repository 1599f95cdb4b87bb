#pragma once

#include <array>
#include <random>
#include <string>
#include <vector>

#include "kernel/compressed.h"
#include "tests/unit/kernel/kernel_test.h"

namespace ckpt {

inline constexpr CodeForm kInt8;
inline constexpr CodeForm kInt4{.bits = 4};
inline constexpr CodeForm kInt8Asymmetric{.is_symmetric = false};
inline constexpr CodeForm kInt4Asymmetric{.bits = 4, .is_symmetric = false};
inline constexpr CodeForm kFp8{.is_float = true};

/// Each of the five, with both ways to round.
inline std::vector<CodeForm> AllForms() {
  std::vector<CodeForm> forms = {kInt8, kInt4, kInt8Asymmetric, kInt4Asymmetric, kFp8};
  for (size_t i = 0; i < 5; ++i) {
    forms.push_back(forms[i]);
    forms.back().is_quotient_rounded = true;
  }
  return forms;
}
inline std::string Describe(CodeForm form) {
  return (form.is_float ? "fp8" : "int" + std::to_string(form.bits)) +
         (form.is_symmetric ? "" : " asymmetric") + (form.is_quotient_rounded ? " rounded" : "");
}

inline constexpr std::array<uint16_t, 5> kBeyondFinite = {0x7f80, 0xff80, 0x7fc0, 0xff81, 0x7fff};

/// Values near 1, where most codes differ from their neighbours'.
inline std::vector<BF16> TameValues(size_t n, std::mt19937& random) {
  std::vector<BF16> values = HardValues(n, random);
  for (BF16& x : values) x.bits = static_cast<uint16_t>((x.bits & 0x81ff) | 0x3e00);
  return values;
}

}  // namespace ckpt

#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/float.h"
#include "hwy/targets.h"

namespace ckpt {

/// A test that runs once for each CPU target that this machine can run, named after it.
class KernelTest : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { hwy::SetSupportedTargetsForTest(GetParam()); }
  void TearDown() override {
    EXPECT_TRUE(hwy::GetChosenTarget().IsInitialized()) << "no dispatching function was called";
    hwy::SetSupportedTargetsForTest(0);
  }
};

inline std::string NameOfTarget(const ::testing::TestParamInfo<int64_t>& target) {
  return hwy::TargetName(target.param);
}
/// (targets_test.cc makes sure that the list isn't empty, as that would pass silently.)
#define CKPT_FOR_EACH_TARGET(suite)        \
  INSTANTIATE_TEST_SUITE_P(Targets, suite, \
                           ::testing::ValuesIn(hwy::SupportedAndGeneratedTargets()), NameOfTarget)

/// `bytes` of memory that begins `shift` bytes after a 64-byte border, with guards on both sides.
class Guarded {
 public:
  explicit Guarded(size_t bytes, size_t shift = 0)
      : storage_(bytes + kGuard * 2 + kAlignment + shift, kMark), bytes_(bytes) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data()) + kGuard;
    begin_ = kGuard + (kAlignment - address % kAlignment) % kAlignment + shift;
  }
  std::byte* data() { return storage_.data() + begin_; }
  const std::byte* data() const { return storage_.data() + begin_; }
  size_t size() const { return bytes_; }
  bool IsIntact() const {
    for (size_t i = 0; i < storage_.size(); ++i) {
      if ((i < begin_ || i >= begin_ + bytes_) && storage_[i] != kMark) return false;
    }
    return true;
  }
  /// Same contents; the guards don't count.
  friend bool operator==(const Guarded& a, const Guarded& b) {
    return a.bytes_ == b.bytes_ &&
           (a.bytes_ == 0 || std::memcmp(a.data(), b.data(), a.bytes_) == 0);
  }

 private:
  static constexpr std::byte kMark{0xa5};
  static constexpr size_t kGuard = 128;
  static constexpr size_t kAlignment = 64;
  std::vector<std::byte> storage_;
  size_t bytes_;
  size_t begin_ = 0;
};

inline Guarded RandomBytes(size_t bytes, std::mt19937& random, size_t shift = 0) {
  Guarded result(bytes, shift);
  for (size_t i = 0; i < bytes; ++i) result.data()[i] = static_cast<std::byte>(random());
  return result;
}

/// Finite bf16 values where rounding goes wrong first: zeros, denormals, 1e-7, 1e4, the largest,
/// ones and halves, and between them values of all exponents.
inline std::vector<BF16> HardValues(size_t n, std::mt19937& random) {
  constexpr std::array<uint16_t, 16> special = {0x0000, 0x8000, 0x0001, 0x8001, 0x007f, 0x0080,
                                                0x33d7, 0x461c, 0x7f7f, 0xff7f, 0x3f80, 0xbf80,
                                                0x3f00, 0x3fc0, 0x3728, 0x3727};
  std::vector<BF16> values(n);
  for (BF16& x : values) {
    const auto bits = static_cast<uint16_t>(random());
    const bool is_special = random() % 8 == 0;
    x.bits = is_special ? special[random() % special.size()] : bits;
    if ((x.bits & 0x7f80) == 0x7f80) x.bits = static_cast<uint16_t>(x.bits ^ 0x4000);  // finite
  }
  return values;
}

/// `values` at an address that no bf16 would have by itself.
class Shifted {
 public:
  Shifted(const std::vector<BF16>& values, size_t shift) : bytes_(values.size() * 2, shift) {
    if (!values.empty()) std::memcpy(bytes_.data(), values.data(), bytes_.size());
  }
  const BF16* get() const { return reinterpret_cast<const BF16*>(bytes_.data()); }

 private:
  Guarded bytes_;
};

}  // namespace ckpt

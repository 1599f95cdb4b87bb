#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/memory_budget.h"
#include "store/store.h"

namespace ckpt {

/// Bytes that tell each place from all others, the same for the same seed.
inline std::string RandomText(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::string text(size, '\0');
  const auto put = [&](size_t at) {
    const uint64_t bits = random();
    std::memcpy(text.data() + at, &bits, std::min(sizeof bits, size - at));
  };
  constexpr size_t pattern = 64 << 10;
  constexpr size_t stamped = 512;
  for (size_t at = 0; at < std::min(size, pattern); at += sizeof(uint64_t)) put(at);
  // The rest repeats the pattern, with a number of its own in every 512 bytes: much quicker.
  for (size_t at = pattern; at < size; at += stamped) {
    std::memcpy(text.data() + at, text.data() + at % pattern, std::min(stamped, size - at));
    put(at);
  }
  return text;
}

inline std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

/// Page-aligned memory outside of any account.
class AlignedMemory {
 public:
  explicit AlignedMemory(uint64_t size_bytes)
      : budget_(size_bytes + 1), buffer_(*Buffer::Allocate(*budget_.Acquire(size_bytes + 1))) {}
  std::span<std::byte> span() { return buffer_.span(); }

 private:
  MemoryBudget budget_;
  Buffer buffer_;
};

/// One range through ReadWindow().
inline Result<std::string> ReadBulk(ObjectReader& reader, ByteRange range) {
  AlignedMemory memory(AlignOutward(range, kIoAlignment).size());
  CKPT_TRY_VOID(reader.ReadWindow(range, memory.span()).get());
  std::string text(range.size(), '\0');
  std::memcpy(text.data(), memory.span().data() + range.begin % kIoAlignment, range.size());
  return text;
}

/// The same through Read().
inline Result<std::string> ReadSmall(ObjectReader& reader, ByteRange range) {
  std::string text(range.size(), '\0');
  CKPT_TRY_VOID(reader.Read(range, std::as_writable_bytes(std::span(text))));
  return text;
}

inline std::vector<std::string> NamesOf(const std::vector<ObjectInfo>& infos) {
  std::vector<std::string> names;
  names.reserve(infos.size());
  for (const ObjectInfo& info : infos) names.push_back(info.name);
  return names;
}

/// The message, to be looked at in a failed test, or "" for success.
template <class T>
std::string ErrorOf(const Result<T>& result) {
  return result ? "" : result.error().Print();
}

}  // namespace ckpt

#define EXPECT_FAILS(expected_code, ...)                          \
  do {                                                            \
    const auto& expect_fails_result = (__VA_ARGS__);              \
    ASSERT_FALSE(expect_fails_result.has_value()) << "succeeded"; \
    EXPECT_EQ(expect_fails_result.error().code, expected_code)    \
        << expect_fails_result.error().Print();                   \
  } while (false)

/// ASSERT_RESULT(auto info, store->Stat("a"));
#define ASSERT_RESULT_INNER(tmp, declaration, ...) \
  auto tmp = (__VA_ARGS__);                        \
  ASSERT_TRUE(tmp.has_value()) << ErrorOf(tmp);    \
  declaration = *std::move(tmp)
#define ASSERT_RESULT(declaration, ...) \
  ASSERT_RESULT_INNER(CKPT_CONCAT(assert_result_, __LINE__), declaration, __VA_ARGS__)
#define ASSERT_SUCCEEDS(...)                                                     \
  do {                                                                           \
    const auto& succeeds_result = (__VA_ARGS__);                                 \
    ASSERT_TRUE(succeeds_result.has_value()) << succeeds_result.error().Print(); \
  } while (false)

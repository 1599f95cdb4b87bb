#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ckpt {

/// A cryptographic sum of a stream, by OpenSSL. Movable; not thread-safe.
class MessageDigest {
 public:
  MessageDigest(MessageDigest&&) noexcept;
  MessageDigest& operator=(MessageDigest&&) noexcept;
  ~MessageDigest();
  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);

 protected:
  enum class Kind { kMd5, kSha256 };
  explicit MessageDigest(Kind kind);
  /// The sum's bytes; the object is spent.
  std::string FinishBytes();

 private:
  struct State;  // hides OpenSSL
  std::unique_ptr<State> state_;
};

class Sha256 : public MessageDigest {
 public:
  Sha256() : MessageDigest(Kind::kSha256) {}
  /// 64 hexadecimal digits; the object is spent.
  std::string Finish();
};

/// For sums of others' that know no better one.
class Md5 : public MessageDigest {
 public:
  Md5() : MessageDigest(Kind::kMd5) {}
  /// The 16 bytes of the sum; the object is spent.
  std::string Finish() { return FinishBytes(); }
};

/// 64 hexadecimal digits.
std::string Sha256Hex(std::string_view text);
/// 32 hexadecimal digits.
std::string Md5Hex(std::string_view text);

}  // namespace ckpt

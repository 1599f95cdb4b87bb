#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ckpt {

/// MD5 of a stream. Movable; not thread-safe. For sums of others' that know no better one.
class Md5 {
 public:
  Md5();
  Md5(Md5&&) noexcept;
  Md5& operator=(Md5&&) noexcept;
  ~Md5();
  void Update(std::span<const std::byte> bytes);
  /// The 16 bytes of the sum; the object is spent.
  std::string Finish();

 private:
  struct State;  // hides OpenSSL
  std::unique_ptr<State> state_;
};

/// 32 hexadecimal digits. For lists of others' that know no better sum.
std::string Md5Hex(std::string_view text);

}  // namespace ckpt

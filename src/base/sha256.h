#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ckpt {

/// SHA-256 of a stream. Movable; not thread-safe.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void Update(std::span<const std::byte> bytes);
  void Update(std::string_view text);
  /// 64 hexadecimal digits; the object is spent.
  std::string Finish();

 private:
  struct State;  // hides OpenSSL
  std::unique_ptr<State> state_;
};

std::string Sha256Hex(std::string_view text);

}  // namespace ckpt

#include "base/md5.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "base/check.h"

namespace ckpt {

struct Md5::State {
  struct Free {
    void operator()(EVP_MD_CTX* spent) const { EVP_MD_CTX_free(spent); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Md5::Md5() : state_(std::make_unique<State>()) {
  CKPT_CHECK(state_->context != nullptr &&
             EVP_DigestInit_ex(state_->context.get(), EVP_md5(), nullptr) == 1);
}
Md5::Md5(Md5&&) noexcept = default;
Md5& Md5::operator=(Md5&&) noexcept = default;
Md5::~Md5() = default;

void Md5::Update(std::span<const std::byte> bytes) {
  CKPT_CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}

std::string Md5::Finish() {
  std::array<unsigned char, 16> digest{};
  unsigned int size = 0;
  CKPT_CHECK(EVP_DigestFinal_ex(state_->context.get(), digest.data(), &size) == 1 &&
             size == digest.size());
  return {digest.begin(), digest.end()};
}

std::string Md5Hex(std::string_view text) {
  Md5 md5;
  md5.Update(std::as_bytes(std::span(text)));
  std::string hex;
  for (const char byte : md5.Finish())
    hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

}  // namespace ckpt

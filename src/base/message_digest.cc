#include "base/message_digest.h"

#include <openssl/evp.h>

#include <array>

#include "base/check.h"

namespace ckpt {
namespace {

std::string InHex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char one : bytes) {
    const auto byte = static_cast<unsigned char>(one);
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

}  // namespace

struct MessageDigest::State {
  struct Free {
    void operator()(EVP_MD_CTX* spent) const { EVP_MD_CTX_free(spent); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

MessageDigest::MessageDigest(Kind kind) : state_(std::make_unique<State>()) {
  const EVP_MD* function = kind == Kind::kMd5 ? EVP_md5() : EVP_sha256();
  CKPT_CHECK(state_->context != nullptr &&
             EVP_DigestInit_ex(state_->context.get(), function, nullptr) == 1);
}
MessageDigest::MessageDigest(MessageDigest&&) noexcept = default;
MessageDigest& MessageDigest::operator=(MessageDigest&&) noexcept = default;
MessageDigest::~MessageDigest() = default;

void MessageDigest::Update(std::span<const std::byte> bytes) {
  CKPT_CHECK(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()) == 1);
}
void MessageDigest::Update(std::string_view text) { Update(std::as_bytes(std::span(text))); }

std::string MessageDigest::FinishBytes() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> sum{};
  unsigned int size = 0;
  CKPT_CHECK(EVP_DigestFinal_ex(state_->context.get(), sum.data(), &size) == 1);
  return {sum.begin(), sum.begin() + size};
}

std::string Sha256::Finish() { return InHex(FinishBytes()); }

std::string Sha256Hex(std::string_view text) {
  Sha256 sha;
  sha.Update(text);
  return sha.Finish();
}

std::string Md5Hex(std::string_view text) {
  Md5 md5;
  md5.Update(text);
  return InHex(md5.Finish());
}

}  // namespace ckpt

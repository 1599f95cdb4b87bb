#include "store/http/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "store/http/headers.h"

namespace ckpt::http {
namespace {

using Ipv6 = std::array<uint8_t, 16>;

std::optional<Ipv6> ParseIpv6(const std::string& text) {
  Ipv6 bytes{};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) != 1) return std::nullopt;
  return bytes;
}

// As the IPv6 address that stands for it, so that one comparison serves both.
std::optional<Ipv6> ParseAny(const std::string& text) {
  Ipv6 bytes{};
  bytes[10] = bytes[11] = 0xff;
  if (inet_pton(AF_INET, text.c_str(), bytes.data() + 12) == 1) return bytes;
  return ParseIpv6(text);
}

bool HasPrefix(const Ipv6& address, const Ipv6& prefix, unsigned bits) {
  const unsigned whole = bits / 8;
  if (std::memcmp(address.data(), prefix.data(), whole) != 0) return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((address[whole] ^ prefix[whole]) >> (8U - rest)) == 0;
}

bool IsInAny(const std::string& text, std::span<const std::string_view> networks) {
  return std::ranges::any_of(networks,
                             [&](std::string_view network) { return IsInNetwork(text, network); });
}

// The IANA registries of special-purpose addresses, without those that are routed globally.
constexpr std::array<std::string_view, 14> kNotPublicIpv4 = {
    "0.0.0.0/8",       "10.0.0.0/8",     "100.64.0.0/10", "127.0.0.0/8",    "169.254.0.0/16",
    "172.16.0.0/12",   "192.0.0.0/24",   "192.0.2.0/24",  "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",   "240.0.0.0/4"};
constexpr std::array<std::string_view, 7> kNotPublicIpv6 = {
    "::/96", "100::/64", "2001:db8::/32", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"};
constexpr std::array<std::string_view, 2> kIpv4Last = {"::ffff:0:0/96", "64:ff9b::/96"};

std::string Ipv4Text(const uint8_t* bytes) {
  std::array<char, INET_ADDRSTRLEN> text{};
  inet_ntop(AF_INET, bytes, text.data(), text.size());
  return text.data();
}

}  // namespace

bool IsAddress(const std::string& text) { return ParseAny(text).has_value(); }

bool IsInNetwork(const std::string& address, std::string_view network) {
  const size_t slash = network.find('/');
  if (slash == std::string_view::npos) return false;
  const std::string base_text(network.substr(0, slash));
  const auto base = ParseAny(base_text);
  auto bits = ParseNumber(network.substr(slash + 1));
  const auto found = ParseAny(address);
  if (!base || !bits || !found) return false;
  const bool is_ipv4 = base_text.find(':') == std::string::npos;
  if (*bits > (is_ipv4 ? 32U : 128U)) return false;
  if (is_ipv4) *bits += 96;
  return HasPrefix(*found, *base, static_cast<unsigned>(*bits));
}

bool IsPublicAddress(const std::string& text) {
  in_addr ipv4{};
  if (inet_pton(AF_INET, text.c_str(), &ipv4) == 1) return !IsInAny(text, kNotPublicIpv4);
  const auto bytes = ParseIpv6(text);
  if (!bytes) return false;
  if (IsInAny(text, kIpv4Last)) return IsPublicAddress(Ipv4Text(bytes->data() + 12));
  if (IsInNetwork(text, "2002::/16")) return IsPublicAddress(Ipv4Text(bytes->data() + 2));
  return !IsInAny(text, kNotPublicIpv6);
}

bool IsMetadataHost(std::string_view host) {
  constexpr std::array<std::string_view, 8> hosts = {"metadata",        "metadata.google.internal",
                                                     "metadata.goog",   "instance-data",
                                                     "169.254.169.254", "169.254.170.2",
                                                     "169.254.170.23",  "fd00:ec2::254"};
  return std::ranges::find(hosts, host) != hosts.end();
}

}  // namespace ckpt::http

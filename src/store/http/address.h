#pragma once

#include <string>
#include <string_view>

namespace ckpt::http {

/// An IPv4 or IPv6 address in its usual text form, without brackets.
bool IsAddress(const std::string& text);

/// An address of the internet at large: neither loopback, link-local (which holds the metadata
/// services), private, shared, multicast nor reserved; an IPv4 address inside an IPv6 one counts as
/// itself. False for a text that is no address.
bool IsPublicAddress(const std::string& text);

/// Names and addresses of the clouds' metadata services, which hand out credentials to whoever
/// asks.
bool IsMetadataHost(std::string_view host);

/// Whether an address lies in a network such as "10.0.0.0/8". False for anything else.
bool IsInNetwork(const std::string& address, std::string_view network);

}  // namespace ckpt::http

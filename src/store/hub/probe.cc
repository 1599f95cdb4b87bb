#include "store/hub/probe.h"

#include <array>
#include <cstddef>
#include <utility>

namespace ckpt {

Result<Probe> AskFirstByte(http::Engine& engine, http::Request request) {
  std::array<std::byte, 1> first{};
  request.method = "GET";
  request.range = ByteRange{0, 1};
  request.into = first;
  Result<http::Response> response = engine.Send(std::move(request));
  if (!response) {
    // The one thing that the engine finds wrong with a range of unknown total: it is none.
    if (response.error().code != Code::kBadInput) return Fail(std::move(response).error());
    Probe probe;
    probe.has_ranges = false;
    return probe;
  }
  Probe probe;
  probe.response = *std::move(response);
  probe.size_bytes = probe.response.total_bytes;
  if (probe.response.status == 416) {
    const std::string* range = http::FindHeader(probe.response.headers, "Content-Range");
    probe.is_empty = range != nullptr && range->ends_with("*/0");
    probe.size_bytes = 0;
  }
  return probe;
}

}  // namespace ckpt

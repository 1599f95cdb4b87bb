#pragma once

#include <memory>
#include <string>
#include <utility>

#include "store/http/http.h"
#include "tests/store/http/test_server.h"
#include "tests/store/store_test.h"

namespace ckpt::http {

/// Retries without delays that a test would notice.
inline EngineOptions QuickOptions() {
  EngineOptions options;
  options.first_delay = std::chrono::milliseconds(2);
  options.delay_cap = std::chrono::milliseconds(10);
  options.deadline = std::chrono::seconds(5);
  return options;
}

inline std::shared_ptr<Engine> MakeEngine(EngineOptions options = QuickOptions()) {
  auto engine = Engine::Make(std::move(options));
  EXPECT_TRUE(engine.has_value()) << engine.error().Print();
  return *engine;
}

inline Request Get(const std::string& address) {
  Request request;
  request.url = *Url::Parse(address);
  return request;
}

/// A range and the memory it goes to.
inline Request GetRange(const std::string& address, ByteRange range, std::string& into) {
  Request request = Get(address);
  into.assign(range.size(), '\0');
  request.range = range;
  request.into = std::as_writable_bytes(std::span(into));
  return request;
}

}  // namespace ckpt::http

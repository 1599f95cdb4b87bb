#include "store/http/exchange.h"

#include <curl/curl.h>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

class Ignore final : public Receiver {
 public:
  bool OnHead(int status, Headers) override {
    status_ = status;
    return true;
  }
  bool OnBody(std::span<const std::byte>) override { return true; }
  int status() const { return status_; }

 private:
  int status_ = 0;
};

Ending Perform(Exchange& exchange, const std::string& address, bool refuses_private_address) {
  Ignore receiver;
  Sending sending{"GET", *Url::Parse(address), {}, {}};
  sending.refuses_private_address = refuses_private_address;
  EXPECT_TRUE(exchange.Begin(std::move(sending), Secret(), receiver).has_value());
  return exchange.End(curl_easy_perform(exchange.handle()));
}

TEST(HttpExchange, ConnectsToNoPrivateAddressWhereThatIsRefused) {
  TestServer server([](const Received&) { return Answer{}; });
  const auto exchange = *Exchange::Make({});
  const Ending ending = Perform(*exchange, server.Address(), true);
  EXPECT_EQ(ending.kind, Ending::Kind::kPrivateAddress);
  EXPECT_FALSE(ending.was_sent);
  EXPECT_EQ(server.connections(), 0U);
}

// Somebody else, who may, has left a connection open.
TEST(HttpExchange, UsesNoKeptConnectionToAPrivateAddressEither) {
  TestServer server([](const Received&) { return Answer{}; });
  const auto exchange = *Exchange::Make({});
  const Ending allowed = Perform(*exchange, server.Address(), false);
  EXPECT_EQ(allowed.kind, Ending::Kind::kWhole);
  EXPECT_EQ(allowed.peer, "127.0.0.1");
  EXPECT_EQ(Perform(*exchange, server.Address(), true).kind, Ending::Kind::kPrivateAddress);
  EXPECT_EQ(server.received().size(), 1U);
}

}  // namespace
}  // namespace ckpt::http

// The state machine without a network: what depends on addresses that a test cannot have.
#include "store/http/transfer.h"

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using Kind = Ending::Kind;

class TransferTest : public testing::Test {
 protected:
  Transfer Make(const std::string& address) { return Make(Get(address)); }
  Transfer Make(Request request) {
    return {std::move(request), [this](Result<Response> result) { result_ = std::move(result); },
            options_, origins_};
  }
  Step Answer(Transfer& transfer, int status, Headers headers, const std::string& peer) {
    transfer.OnHead(status, std::move(headers));
    return transfer.OnEnd({.kind = Kind::kWhole, .peer = peer, .was_sent = true}, now_);
  }
  Step Break(Transfer& transfer, Kind kind, bool was_sent = true) {
    return transfer.OnEnd({.kind = kind, .words = "words", .was_sent = was_sent}, now_);
  }

  EngineOptions options_ = QuickOptions();
  Origins origins_ = *Origins::Trust({"https://mirror.test"});
  Moment now_{Time{} + std::chrono::hours(1), 0, 0.5};
  std::optional<Result<Response>> result_;
};

TEST_F(TransferTest, ChecksTheAddressesOfRedirectTargets) {
  Transfer transfer = Make("https://hub.test/");
  EXPECT_FALSE(transfer.NextTry(now_.now).refuses_private_address);
  const Step step = Answer(transfer, 302, {{"location", "https://cdn.test/"}}, "8.8.8.8");
  EXPECT_EQ(step.kind, Step::Kind::kSend);
  EXPECT_TRUE(transfer.NextTry(now_.now).refuses_private_address);
  const Step refused = Break(transfer, Kind::kPrivateAddress, false);
  ASSERT_EQ(refused.kind, Step::Kind::kFinish);
  EXPECT_EQ(refused.result->error().code, Code::kUnavailable);
}

TEST_F(TransferTest, LetsPrivateServicesRedirectToPrivateOnes) {
  Transfer transfer = Make("https://minio.corp.test/");
  (void)transfer.NextTry(now_.now);
  (void)Answer(transfer, 302, {{"location", "https://10.0.0.9/"}}, "10.0.0.1");
  EXPECT_FALSE(transfer.NextTry(now_.now).refuses_private_address);
}

TEST_F(TransferTest, LetsTrustedOriginsBePrivate) {
  Transfer transfer = Make("https://hub.test/");
  (void)transfer.NextTry(now_.now);
  (void)Answer(transfer, 302, {{"location", "https://mirror.test/"}}, "8.8.8.8");
  EXPECT_FALSE(transfer.NextTry(now_.now).refuses_private_address);
}

TEST_F(TransferTest, DoesNotLeaveTls) {
  Transfer transfer = Make("https://hub.test/");
  (void)transfer.NextTry(now_.now);
  const Step step = Answer(transfer, 301, {{"location", "http://hub.test/"}}, "8.8.8.8");
  ASSERT_EQ(step.kind, Step::Kind::kFinish);
  EXPECT_EQ(step.result->error().code, Code::kUnavailable);
}

TEST_F(TransferTest, NeverRetriesWhatTlsRefuses) {
  Transfer transfer = Make("https://hub.test/?sig=planted");
  (void)transfer.NextTry(now_.now);
  const Step step = Break(transfer, Kind::kUntrusted, false);
  ASSERT_EQ(step.kind, Step::Kind::kFinish);
  EXPECT_EQ(step.result->error().code, Code::kUnavailable);
  EXPECT_THAT(step.result->error().Print(),
              testing::AllOf(testing::HasSubstr("--ca-bundle"), testing::HasSubstr("words"),
                             testing::Not(testing::HasSubstr("planted"))));
}

TEST_F(TransferTest, GrowsItsDelaysAndEndsAtTheDeadline) {
  options_.first_delay = std::chrono::seconds(1);
  options_.delay_cap = std::chrono::seconds(32);
  options_.deadline = std::chrono::seconds(600);
  Transfer transfer = Make("https://hub.test/");
  std::vector<int64_t> delays_ms;
  const Time begun = now_.now;
  while (true) {
    (void)transfer.NextTry(now_.now);
    const Step step = Break(transfer, Kind::kBroken);
    if (step.kind == Step::Kind::kFinish) break;
    EXPECT_EQ(step.retry_key, "connection");
    delays_ms.push_back(step.delay.count());
    now_.now += step.delay;
  }
  ASSERT_GT(delays_ms.size(), 7U);
  delays_ms.resize(7);
  EXPECT_THAT(delays_ms, testing::ElementsAre(500, 1000, 2000, 4000, 8000, 16000, 16000));
  EXPECT_LE(now_.now - begun, options_.deadline);
  EXPECT_GT(now_.now - begun, options_.deadline - std::chrono::seconds(17));
}

TEST_F(TransferTest, CountsItsDeadlineFromTheLastProgress) {
  options_.deadline = std::chrono::seconds(60);
  std::string into;
  Transfer transfer = Make(GetRange("https://hub.test/", {0, 100}, into));
  for (int i = 0; i < 100; ++i) {
    (void)transfer.NextTry(now_.now);
    const std::string range = "bytes " + std::to_string(i) + "-99/100";
    ASSERT_TRUE(transfer.OnHead(206, {{"content-range", range}}));
    ASSERT_TRUE(transfer.OnBody(BytesOf("x")));
    now_.now += std::chrono::seconds(59);
    const Step step = transfer.OnEnd({.kind = i == 99 ? Kind::kWhole : Kind::kBroken}, now_);
    ASSERT_EQ(step.kind, i == 99 ? Step::Kind::kFinish : Step::Kind::kSendLater) << i;
  }
  EXPECT_EQ(into, std::string(100, 'x'));
}

TEST_F(TransferTest, DoesNotTakeTheSameBytesAgainForProgress) {
  options_.deadline = std::chrono::seconds(60);
  Transfer transfer = Make("https://hub.test/");
  unsigned tries = 0;
  Step step;
  do {
    (void)transfer.NextTry(now_.now);
    transfer.OnHead(200, {});
    transfer.OnBody(BytesOf("same"));
    now_.now += std::chrono::seconds(20);
    step = Break(transfer, Kind::kShort);
    ++tries;
  } while (step.kind == Step::Kind::kSendLater && tries < 100);
  EXPECT_EQ(tries, 4U);
}

TEST_F(TransferTest, TellsItsEndOnce) {
  Transfer transfer = Make("https://hub.test/");
  transfer.Stop();
  ASSERT_TRUE(result_.has_value());
  EXPECT_EQ(result_->error().code, Code::kInterrupted);
}

}  // namespace
}  // namespace ckpt::http

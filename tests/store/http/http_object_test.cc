#include "store/http/http_object.h"

#include <atomic>

#include "tests/store/http/engine_test.h"

namespace ckpt::http {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Error Explain(const Response& response) {
  return {Code::kNotFound, "status " + std::to_string(response.status), {}, {}, ""};
}

std::unique_ptr<ObjectReader> Open(const std::string& address, uint64_t size_bytes,
                                   uint64_t most_bytes = 16 << 20,
                                   std::function<Result<Request>()> renew = {}) {
  ObjectInfo info;
  info.name = "model.bin";
  info.size_bytes = size_bytes;
  return OpenHttpObject(MakeEngine(), std::move(info), {Get(address), Explain, std::move(renew)},
                        *Uri::Parse("gs://bucket/a"), most_bytes);
}

TEST(HttpObject, LandsAWindowFromManyRequests) {
  const std::string object = RandomText(100'000, 1);
  TestServer server([&](const Received& request) { return AnswerWith(object, request); });
  const auto reader = Open(server.Address(), object.size(), 10'000);
  const ByteRange range{5'000, 98'765};
  AlignedMemory memory(AlignOutward(range, kIoAlignment).size());
  ASSERT_TRUE(reader->ReadWindow(range, memory.span()).get().has_value());
  const auto landed = memory.span().subspan(range.begin % kIoAlignment, range.size());
  EXPECT_TRUE(std::ranges::equal(landed, BytesOf(object).subspan(range.begin, range.size())));
  EXPECT_EQ(server.received().size(), 10U);
}

TEST(HttpObject, ReadsSmallRangesAnywhere) {
  const std::string object = RandomText(100, 2);
  TestServer server([&](const Received& request) { return AnswerWith(object, request); });
  const auto reader = Open(server.Address(), object.size());
  std::string into(7, '\0');
  ASSERT_TRUE(reader->Read({93, 100}, std::as_writable_bytes(std::span(into))).has_value());
  EXPECT_EQ(into, object.substr(93));
  ASSERT_TRUE(reader->Read({50, 50}, {}).has_value());
  EXPECT_EQ(reader->info().name, "model.bin");
}

TEST(HttpObject, RefusesABeyondOfItsEnd) {
  const auto reader = Open("http://127.0.0.1:1/", 100);
  std::string into(7, '\0');
  const auto read = reader->Read({94, 101}, std::as_writable_bytes(std::span(into)));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Code::kBadInput);
  EXPECT_THAT(read.error().Print(), AllOf(HasSubstr("gs://bucket/a/model.bin"),
                                          HasSubstr("[94, 101)"), HasSubstr("byte 100")));
}

TEST(HttpObject, NoticesAnotherSize) {
  const std::string object = RandomText(101, 3);
  TestServer server([&](const Received& request) { return AnswerWith(object, request); });
  const auto reader = Open(server.Address(), 100);
  std::string into(7, '\0');
  EXPECT_FAILS(Code::kBadInput, reader->Read({0, 7}, std::as_writable_bytes(std::span(into))));
}

TEST(HttpObject, WaitsForAllRequestsBeforeItFails) {
  const std::string object = RandomText(4'000, 4);
  std::atomic<int> ended = 0;
  TestServer server([&](const Received& request) {
    if (request.Header("range").starts_with("bytes=0-")) return Answer{.status = 404};
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ++ended;
    return AnswerWith(object, request);
  });
  const auto reader = Open(server.Address(), object.size(), 1'000);
  AlignedMemory memory(kIoAlignment);
  const auto read = reader->ReadWindow({0, 4'000}, memory.span()).get();
  EXPECT_EQ(ended, 3);
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().what, "status 404");
  EXPECT_EQ(read.error().where[0], (Place{"byte", "[0, 1000)"}));
  EXPECT_EQ(read.error().where[1], (Place{"file", "gs://bucket/a/model.bin"}));
}

// Addresses "/0", "/1"...: each serves a few requests, then expires.
class ExpiringAddresses {
 public:
  ExpiringAddresses(std::string object, unsigned uses)
      : object_(std::move(object)),
        uses_(uses),
        server_([this](const Received& request) { return Serve(request); }) {}

  std::string Address() const { return server_.Address("/" + std::to_string(made_)); }
  Result<Request> Renew() {
    ++made_;
    return Get(Address());
  }
  unsigned made() const { return made_; }

 private:
  Answer Serve(const Received& request) {
    {
      const std::lock_guard lock(mutex_);
      if (++used_[request.target] > uses_) return Answer{.status = 403};
    }
    return AnswerWith(object_, request);
  }

  const std::string object_;
  const unsigned uses_;
  std::mutex mutex_;
  std::map<std::string, unsigned> used_;
  std::atomic<unsigned> made_ = 0;
  TestServer server_;
};

TEST(HttpObject, RenewsAnAddressThatExpired) {
  const std::string object = RandomText(40'000, 5);
  ExpiringAddresses addresses(object, 25);
  const auto reader =
      Open(addresses.Address(), object.size(), 1'000, [&] { return addresses.Renew(); });
  std::string into(object.size(), '\0');
  const auto read = reader->Read({0, object.size()}, std::as_writable_bytes(std::span(into)));
  ASSERT_TRUE(read.has_value()) << read.error().Print();
  EXPECT_TRUE(into == object);
  EXPECT_EQ(addresses.made(), 1U);
}

TEST(HttpObject, DoesNotRenewWhatNeverWorked) {
  ExpiringAddresses addresses("0123456789", 0);
  const auto reader = Open(addresses.Address(), 10, 1'000, [&] { return addresses.Renew(); });
  std::string into(10, '\0');
  EXPECT_FAILS(Code::kNotFound, reader->Read({0, 10}, std::as_writable_bytes(std::span(into))));
  EXPECT_EQ(addresses.made(), 0U);
}

TEST(HttpObject, SaysWhyNoOtherAddressCanBeHad) {
  ExpiringAddresses addresses("0123456789", 1);
  const auto reader = Open(addresses.Address(), 10, 1'000, [&]() -> Result<Request> {
    return Fail(Code::kDenied, "no more addresses", "");
  });
  std::string into(10, '\0');
  const auto bytes = std::as_writable_bytes(std::span(into));
  ASSERT_TRUE(reader->Read({0, 10}, bytes).has_value());
  EXPECT_FAILS(Code::kDenied, reader->Read({0, 10}, bytes));
}

TEST(HttpObject, WaitsForDroppedReadsAtItsEnd) {
  const std::string object = RandomText(4'096, 6);
  TestServer server([&](const Received& request) {
    Answer answer = AnswerWith(object, request);
    answer.delay = std::chrono::milliseconds(30);
    return answer;
  });
  AlignedMemory memory(kIoAlignment);
  { (void)Open(server.Address(), object.size())->ReadWindow({0, 4'096}, memory.span()); }
  EXPECT_TRUE(std::ranges::equal(memory.span().first(4'096), BytesOf(object)));
}

}  // namespace
}  // namespace ckpt::http

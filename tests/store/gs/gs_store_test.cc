// Listing, reading, removing, and what is said when the service refuses.
#include <thread>

#include "tests/store/gs/gs_stub.h"

namespace ckpt {
namespace {

TEST(GsStore, ListsAllPagesAlsoEmptyOnesWithoutFolderMarkers) {
  GsStub stub({"--page-size", "2"});
  stub.Put("run/", "");
  stub.Put("run/a/", "");
  stub.Put("runner", "beside");
  for (const std::string name : {"run/b", "run/a/1", "run/a/2", "run/a/3", "run/c"})
    stub.Put(name, name);
  stub.stub().Script(R"([{"path":"/o$","skip":1,"empty_page":true,"times":2}])");
  const auto store = stub.Open();
  ASSERT_RESULT(const auto infos, store->List(""));
  ASSERT_THAT(NamesOf(infos), testing::ElementsAre("a/1", "a/2", "a/3", "b", "c"));
  EXPECT_EQ(infos[0].crc32c, Crc32c::Of(BytesOf("run/a/1")));
  EXPECT_GT(infos[0].modified_ns, 0);
  ASSERT_RESULT(const auto below, store->List("a"));
  EXPECT_EQ(below.size(), 3U);
}

TEST(GsStore, ReadsTheWholeBucketAsItsRoot) {
  GsStub stub;
  stub.Put("a/b", "text");
  for (const std::string root : {"gs://bucket", "gs://bucket/"}) {
    const auto store = stub.Open(root);
    EXPECT_EQ(*store->ReadWhole("a/b", 10), "text");
  }
  EXPECT_EQ(*stub.Open("gs://bucket/a/")->ReadWhole("b", 10), "text");
}

TEST(GsStore, ReadsASmallObjectInOneRequestAndHoldsItToItsSum) {
  GsStub stub;
  stub.Put("run/object", "text");
  const auto store = stub.Open();
  stub.stub().Script(
      R"([{"query":"fields=","status":500,"body":"no need to ask this","times":1}])");
  EXPECT_EQ(*store->ReadWhole("object", 4), "text");
  const Error none = store->ReadWhole("nothing", 4).error();
  EXPECT_EQ(none.code, Code::kNotFound);
  ExpectSays(none, "run/nothing");
  // Damaged on its way: asked for again, a few times.
  stub.stub().Script(R"([{"query":"alt=media","status":200,"body":"next","times":2,
                          "headers":{"x-goog-hash":"crc32c=yZRlqg=="}}])");
  EXPECT_EQ(*store->ReadWhole("object", 4), "text");
  stub.stub().Script(R"([{"query":"alt=media","status":200,"body":"next","times":3,
                          "headers":{"x-goog-hash":"crc32c=yZRlqg=="}}])");
  const Error damaged = store->ReadWhole("object", 4).error();
  EXPECT_EQ(damaged.code, Code::kIo);
  ExpectSays(damaged, "arrived with other bytes");
  ExpectSays(damaged, "run/object");
}

TEST(GsStore, SaysThatASmallObjectIsTooLarge) {
  GsStub stub;
  stub.Put("run/object", "text");
  const Error error = stub.Open()->ReadWhole("object", 3).error();
  EXPECT_EQ(error.code, Code::kBadInput);
  ExpectSays(error, "at most 3");
}

TEST(GsStore, KeepsNamesWithUnusualCharacters) {
  GsStub stub;
  const auto store = stub.Open();
  const std::string name = "a b/ü+%2F?#&=.json";
  ASSERT_SUCCEEDS(WriteSmallObject(*store, name, "text", {}));
  EXPECT_EQ(*store->ReadWhole(name, 10), "text");
  ASSERT_RESULT(const auto infos, store->List(""));
  EXPECT_EQ(infos[0].name, name);
  ASSERT_SUCCEEDS(store->Remove(name));
}

TEST(GsStore, SaysThatAnObjectWasChangedWhileItWasRead) {
  GsStub stub;
  stub.Put("run/object", std::string(1 << 20, 'x'));
  const auto store = stub.Open();
  ASSERT_RESULT(const ObjectInfo info, store->Stat("object"));
  ASSERT_RESULT(const auto reader, store->Open(info));
  EXPECT_EQ(ReadSmall(*reader, {5, 8}), "xxx");
  stub.stub().Script(R"([{"query":"alt=media","change_object":"bucket/run/object","times":1}])");
  const auto read = ReadBulk(*reader, {0, 1 << 20});
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Code::kBadInput);
  ExpectSays(read.error(), "changed while it was read");
  ExpectSays(read.error(), "run/object");
  EXPECT_FAILS(Code::kBadInput, store->Open(info));
}

TEST(GsStore, RefusesObjectsThatAreStoredCompressed) {
  GsStub stub;
  stub.Put("run/object", "not really packed", {{"Content-Encoding", "gzip"}});
  const auto store = stub.Open();
  const auto reader = store->Open(*store->Stat("object"));
  ASSERT_FALSE(reader.has_value());
  EXPECT_EQ(reader.error().code, Code::kBadInput);
  ExpectSays(reader.error(), "gzip");
}

TEST(GsStore, ChargesTheProjectThatWasNamed) {
  GsStub stub({"--requester-pays", "paid"});
  GsOptions options = stub.Options();
  const auto unpaid = stub.Open("gs://paid/run", options)->List("");
  ASSERT_FALSE(unpaid.has_value());
  EXPECT_EQ(unpaid.error().code, Code::kUsage);
  ExpectSays(unpaid.error(), "--gcs-user-project");
  options.user_project = "mine";
  const auto store = stub.Open("gs://paid/run", options);
  ASSERT_SUCCEEDS(WriteSmallObject(*store, "object", "text", {}));
  EXPECT_EQ(*store->ReadWhole("object", 10), "text");
}

TEST(GsStore, TellsHowToMakeTheBucketThatIsMissing) {
  GsStub stub;
  const auto store = stub.Open("gs://elsewhere/run");
  const auto list = store->List("");
  ASSERT_FALSE(list.has_value());
  EXPECT_EQ(list.error().code, Code::kNotFound);
  ExpectSays(list.error(), "gcloud storage buckets create gs://elsewhere --location=");
  EXPECT_FAILS(Code::kNotFound, ProbeWritable(*store));
}

TEST(GsStore, NamesWhoLacksWhichPermission) {
  GsStub stub({"--tokens", "reader", "--permissions",
               R"({"reader":["storage.objects.get","storage.objects.list"]})"});
  GsOptions options = stub.Options();
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"reader"});
  options.principal = [] { return std::string("me@example.com"); };
  const auto store = stub.Open("gs://bucket/run", options);
  ASSERT_SUCCEEDS(store->List(""));
  const auto probe = ProbeWritable(*store);
  ASSERT_FALSE(probe.has_value());
  EXPECT_EQ(probe.error().code, Code::kDenied);
  ExpectSays(probe.error(), "me@example.com");
  ExpectSays(probe.error(), "storage.objects.create");
}

TEST(GsStore, AsksForCredentialsWhereTheServiceWantsThem) {
  GsStub stub({"--tokens", "good"});
  EXPECT_FAILS(Code::kNoCredential, stub.Open()->List(""));
  GsOptions options = stub.Options();
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"old"});
  EXPECT_FAILS(Code::kDenied, stub.Open("gs://bucket/run", options)->List(""));
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"old", "good"});
  EXPECT_TRUE(stub.Open("gs://bucket/run", options)->List("").has_value());
}

TEST(GsStore, SendsNoCredentialsInTheOpen) {
  GsStub stub;
  GsOptions options = stub.Options();
  options.endpoint = *http::Url::Parse("http://storage.example.com");
  EXPECT_TRUE(OpenGsStore(*Uri::Parse("gs://bucket"), options).has_value());
  options.authorizer = std::make_shared<FixedToken>(std::vector<std::string>{"secret"});
  EXPECT_FAILS(Code::kUsage, OpenGsStore(*Uri::Parse("gs://bucket"), options));
  EXPECT_FAILS(Code::kUsage, OpenGsStore(*Uri::Parse("gs:///x"), stub.Options()));
}

TEST(GsStore, TriesAgainWhenItWasTooFast) {
  GsStub stub;
  stub.Put("run/object", "text");
  stub.stub().Script(
      R"([{"path":"/o/","status":403,"times":2,"body":{"error":{"errors":[{"reason":"rateLimitExceeded"}]}}}])");
  EXPECT_TRUE(stub.Open()->Stat("object").has_value());
}

TEST(GsStore, ProbesWithoutLeavingAnything) {
  GsStub stub;
  ASSERT_SUCCEEDS(ProbeWritable(*stub.Open()));
  EXPECT_TRUE(stub.Names().empty());
}

TEST(GsStore, RemovesManyAndTheirFolderMarkers) {
  GsStub stub;
  for (int i = 0; i < 70; ++i) stub.Put("run/a/" + std::to_string(i), "x");
  stub.Put("run/a/", "");
  stub.Put("run/ab", "x");
  const auto store = stub.Open();
  ASSERT_SUCCEEDS(store->RemoveAll("a"));
  EXPECT_EQ(stub.Names(), std::vector<std::string>{"run/ab"});
}

TEST(GsStore, RemovesWhatAnotherProgramReplacedMeanwhile) {
  GsStub stub;
  stub.Put("run/object", "x");
  stub.stub().Script(R"([{"method":"DELETE","change_object":"bucket/run/object","times":2}])");
  ASSERT_SUCCEEDS(stub.Open()->Remove("object"));
  EXPECT_TRUE(stub.Names().empty());
}

}  // namespace
}  // namespace ckpt

#include "cli/entrypoint/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ckpt::contract {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

const std::string kTime = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}: ";

bool Matches(const std::string& text, const std::string& pattern) {
  // GCC 12 warns of std::regex under AddressSanitizer.
  return testing::Matches(testing::MatchesRegex(pattern))(text);
}

template <class Work>
std::string Printed(const Work& work) {
  CaptureStdout();
  work();
  return GetCapturedStdout();
}

template <class Work>
std::string PrintedAsError(const Work& work) {
  CaptureStderr();
  work();
  return GetCapturedStderr();
}

const Error kError{
    Code::kBadInput, "torn", {}, {{"tensor", "a.weight"}, {"file", "/m/x"}}, "fetch it again"};

TEST(TextLog, BeginsEachLineWithTheTime) {
  Log log(Log::Format::kText);
  EXPECT_TRUE(Matches(Printed([&] { log.Info("Bucket name=bkt"); }), kTime + "Bucket name=bkt\n"));
  EXPECT_TRUE(Matches(Printed([&] { log.Notice("note"); }), kTime + "note\n"));
  EXPECT_TRUE(Matches(Printed([&] { log.Warn("look"); }), kTime + "warning: look\n"));
}

TEST(TextLog, OnlyErrorsGoToStandardError) {
  Log log(Log::Format::kText);
  std::string out;
  const std::string error = PrintedAsError([&] { out = Printed([&] { log.Fail(kError); }); });
  EXPECT_EQ(out, "");
  EXPECT_TRUE(Matches(error.substr(0, error.find('\n') + 1),
                      kTime + "ckpt: source damaged or unsupported: torn\n"));
  EXPECT_THAT(error, HasSubstr("a.weight"));
  EXPECT_THAT(error, HasSubstr("fetch it again  (exit 65)"));
  EXPECT_EQ(PrintedAsError([&] { out = Printed([&] { log.Warn("look"); }); }), "");
}

TEST(JsonLog, IsOneObjectALine) {
  Log log(Log::Format::kJson);
  const std::string out = Printed([&] {
    log.Info("a \"b\"\\\n\x01");
    log.Notice("note");
    log.Warn("look");
  });
  std::vector<Json> lines;
  for (size_t at = 0; at < out.size(); at = out.find('\n', at) + 1)
    lines.push_back(Json::parse(out.substr(at, out.find('\n', at) - at)));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["message"], "a \"b\"\\\n\x01");
  EXPECT_EQ(lines[0]["severity"], "INFO");
  EXPECT_EQ(lines[1]["severity"], "NOTICE");
  EXPECT_EQ(lines[2]["severity"], "WARNING");
  EXPECT_EQ(lines[2]["message"], "look");
  EXPECT_TRUE(Matches(lines[0]["time"], "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z"));
  EXPECT_EQ(lines[0].size(), 3U);
}

TEST(JsonLog, SurvivesTextThatIsNoUtf8) {
  Log log(Log::Format::kJson);
  EXPECT_TRUE(Json::accept(Printed([&] { log.Info("a\xff\xc3"); })));
}

TEST(JsonLog, AnErrorNamesItsTensor) {
  Log log(Log::Format::kJson);
  const Json json = Json::parse(PrintedAsError([&] { log.Fail(kError); }));
  EXPECT_EQ(json["severity"], "ERROR");
  EXPECT_EQ(json["tensor"], "a.weight");
  EXPECT_THAT(json["message"].get<std::string>(), HasSubstr("(exit 65)"));
}

TEST(JsonLog, ProgressHasItsNumbersAsFields) {
  Log log(Log::Format::kJson);
  const Json json = Json::parse(Printed([&] { log.Report(250, 1000, 2.5, "1 MiB of 2 MiB"); }));
  EXPECT_EQ(json["stage"], "convert");
  EXPECT_EQ(json["bytes_done"], 250);
  EXPECT_EQ(json["bytes_total"], 1000);
  EXPECT_EQ(json["rate"], 100.0);
  EXPECT_EQ(json["eta_s"], 7.5);
  EXPECT_THAT(json["message"].get<std::string>(), HasSubstr("25%"));
  EXPECT_THAT(json["message"].get<std::string>(), HasSubstr("memory 1 MiB of 2 MiB"));
}

TEST(JsonLog, ProgressKeepsItsNumbersInBounds) {
  Log log(Log::Format::kJson);
  const Json start = Json::parse(Printed([&] { log.Report(0, 1000, 0, "x"); }));
  EXPECT_FALSE(start.contains("eta_s"));
  EXPECT_EQ(start["rate"], 0.0);
  const Json beyond = Json::parse(Printed([&] { log.Report(1500, 1000, 1, "x"); }));
  EXPECT_EQ(beyond["bytes_done"], 1000);
  EXPECT_EQ(beyond["eta_s"], 0.0);
  EXPECT_TRUE(Json::accept(Printed([&] { log.Report(0, 0, 1, "x"); })));
}

TEST(LogProgress, SaysALineAtEachTenth) {
  Log log(Log::Format::kText);
  Totals totals;
  totals.read_bytes = 600;
  totals.written_bytes = 400;
  LogProgress view(log, totals, 1 << 20);
  Progress progress;
  const std::string out = Printed([&] {
    view.Tick(progress);  // nothing to say yet
    for (uint64_t done = 0; done <= 1000; done += 25) {
      progress.read_bytes = std::min<uint64_t>(done, 600);
      progress.written_bytes = done - progress.read_bytes;
      view.Tick(progress);
      view.Tick(progress);
    }
  });
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 10) << out;
  EXPECT_THAT(out, HasSubstr("Converting: 10%"));
  EXPECT_THAT(out, HasSubstr("Converting: 100%"));
}

}  // namespace
}  // namespace ckpt::contract

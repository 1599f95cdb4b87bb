#include "cli/entrypoint/entrypoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/read_file.h"
#include "tests/store/temp_folder.h"
#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const Strings kVerbs = {"convert", "plan",  "inspect",  "verify",  "diff",
                        "status",  "clean", "families", "manifest"};
const Strings kGood = {"-b=bkt", "-m=google/gemma/maxtext/7b-it/2"};

// --------------------------------------------------------------------- who is spoken to

TEST(IsAddressed, ByName) {
  for (const std::string name : {"checkpoint_entrypoint.sh", "checkpoint_converter.sh"}) {
    for (const std::string folder : {"", "/usr/bin/", "./"}) {
      for (const Strings& words : {Strings{},
                                   {"-b=bkt"},
                                   {"--help"},
                                   {"-h"},
                                   {"--version"},
                                   {"-x"},
                                   {"run"},
                                   {""},
                                   {"--"}})
        EXPECT_TRUE(IsAddressed(folder + name, words, kVerbs)) << folder << name << Joined(words);
    }
  }
}

TEST(IsAddressed, AVerbSelectsTheVerbsUnderEveryName) {
  for (const std::string name :
       {"checkpoint_entrypoint.sh", "/usr/bin/checkpoint_converter.sh", "ckpt", "/usr/bin/ckpt"}) {
    for (const std::string& verb : kVerbs) {
      EXPECT_FALSE(IsAddressed(name, Strings{verb}, kVerbs)) << name << verb;
      EXPECT_FALSE(IsAddressed(name, Strings{verb, "-b=bkt"}, kVerbs)) << name << verb;
    }
  }
}

TEST(IsAddressed, UnderItsOwnNameByFlagsOfAJob) {
  for (const std::string name : {"ckpt", "/usr/bin/ckpt", "", "checkpoint_converter", "x.sh"}) {
    for (const Strings& words : {Strings{"-b=bkt"},
                                 {"-b", "bkt"},
                                 {"--bucket_name=bkt"},
                                 {"-x"},
                                 {"-h=True"},
                                 {"-h", "True"},
                                 {"--version=main", "-b=bkt"},
                                 {"--version", "main"},
                                 {"--explain", "-b=bkt"},
                                 {"--nonsense"}})
      EXPECT_TRUE(IsAddressed(name, words, kVerbs)) << name << Joined(words);
    for (const Strings& words :
         {Strings{}, {"--help"}, {"-h"}, {"--version"}, {"nonsense"}, {"run", "-b=bkt"}, {""}})
      EXPECT_FALSE(IsAddressed(name, words, kVerbs)) << name << Joined(words);
  }
}

// --------------------------------------------------------------------- runs that end early

struct Ended {
  int status = 0;
  std::string out;
  std::string err;
  std::string last_message;  // of the container
};

class RunTest : public testing::Test {
 protected:
  Ended End(Strings arguments, const Variables& variables = {}) const {
    const std::string log = folder_.path() + "/termination";
    arguments.insert(arguments.begin(), "--termination_log=" + log);
    Ended ended;
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    ended.status =
        contract::Run("/usr/bin/checkpoint_converter.sh", arguments, EnvironmentOf(variables));
    ended.out = testing::internal::GetCapturedStdout();
    ended.err = testing::internal::GetCapturedStderr();
    if (std::filesystem::exists(log)) ended.last_message = ReadFile(log);
    return ended;
  }

  TempFolder folder_;
};

TEST_F(RunTest, HelpWinsOverAWrongValueAndNotOverAWrongFlag) {
  for (const Strings& arguments : {Strings{"-x"}, {"--help", "-s=vllm"}, {"-x", "--dry_run=x"}}) {
    const Ended help = End(arguments);
    EXPECT_EQ(help.status, 0) << Joined(arguments);
    EXPECT_THAT(help.out, StartsWith("Usage: checkpoint_converter.sh"));
    EXPECT_EQ(help.err, "");
  }
  const Ended wrong = End({"-x", "--nonsense"});
  EXPECT_EQ(wrong.status, 64);
  EXPECT_THAT(wrong.err, HasSubstr("--nonsense is unknown"));
}

TEST_F(RunTest, WrongWordsEndWith64AndLeaveAMessage) {
  const Ended ended = End({"-b=BUCKET_NAME", "-m=mystery", "-u=PLANTED"});
  EXPECT_EQ(ended.status, 64);
  EXPECT_EQ(ended.out, "");
  EXPECT_THAT(ended.err, HasSubstr("3 arguments are wrong"));
  EXPECT_THAT(ended.last_message, StartsWith("failed, exit 64\n"));
  EXPECT_THAT(ended.last_message, HasSubstr("BUCKET_NAME"));
  EXPECT_THAT(ended.err + ended.last_message, Not(HasSubstr("PLANTED")));
}

TEST_F(RunTest, ExplainPrintsWhatTheWordsMeanAndTouchesNothing) {
  const Ended ended = End(With(kGood, {"--explain"}));
  EXPECT_EQ(ended.status, 0);
  EXPECT_EQ(nlohmann::json::parse(ended.out)["model"], "gemma-7b");
  EXPECT_EQ(ended.last_message, "");
}

TEST_F(RunTest, ExplainPrintsAnErrorAsJsonToo) {
  const Ended ended = End(With(kGood, {"--explain", "-b="}));
  EXPECT_EQ(ended.status, 64);
  EXPECT_EQ(nlohmann::json::parse(ended.out)["error"]["exit_code"], 64);
  EXPECT_THAT(ended.err, HasSubstr("--bucket_name"));
}

TEST_F(RunTest, TheLogsFormatComesFromTheFlagThenTheVariable) {
  EXPECT_TRUE(nlohmann::json::accept(End({"--log_format=json"}).err));
  EXPECT_TRUE(nlohmann::json::accept(End({}, {{"CKPT_LOG_FORMAT", "json"}}).err));
  EXPECT_FALSE(
      nlohmann::json::accept(End({"--log_format=text"}, {{"CKPT_LOG_FORMAT", "json"}}).err));
  const Ended wrong = End(With(kGood, {"--log_format=xml"}));
  EXPECT_EQ(wrong.status, 64);
  EXPECT_THAT(wrong.err, HasSubstr("--log_format xml is unknown"));
}

TEST_F(RunTest, AJobThatCannotReadItsSourceSaysItsLinesFirst) {
  std::filesystem::create_directories(folder_.path() + "/bkt");
  const Ended ended =
      End(With(kGood, {"-i=gs://bkt/in", "stray"}), {{"CKPT_GS_ROOT", folder_.path()},
                                                     {"KAGGLE_CONFIG_DIR", folder_.path()},
                                                     {"KAGGLE_USERNAME", "PLANTED"}});
  EXPECT_EQ(ended.status, 78);
  EXPECT_THAT(ended.out.substr(0, ended.out.find('\n')),
              HasSubstr(": Inference server is jetstream-maxtext"));
  EXPECT_THAT(ended.out, HasSubstr("warning: ignored, because no flag takes them: stray"));
  EXPECT_THAT(ended.out, Not(HasSubstr("Completed")));
  EXPECT_THAT(ended.last_message, StartsWith("failed, exit 78\n"));
  EXPECT_THAT(ended.out + ended.err + ended.last_message, Not(HasSubstr("PLANTED")));
}

}  // namespace
}  // namespace ckpt::contract

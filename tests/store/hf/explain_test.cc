#include "store/hf/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckpt {
namespace {

using testing::HasSubstr;
using testing::Not;

HfQuestion Asked() {
  HfQuestion question;
  question.repo = "org/name";
  question.revision = "main";
  question.is_token_sent = true;
  question.token_source = "HF_TOKEN";
  return question;
}

TEST(HfExplain, SaysWhereToAcceptTheTermsOfAGatedRepository) {
  for (const int status : {401, 403}) {
    const Error error =
        ExplainHf(Asked(), status,
                  {{"x-error-code", "GatedRepo"}, {"X-Error-Message", "awaiting a review"}}, "");
    EXPECT_EQ(error.code, Code::kDenied);
    EXPECT_THAT(error.what, HasSubstr("org/name is gated"));
    EXPECT_THAT(error.what, HasSubstr("awaiting a review"));
    EXPECT_THAT(error.what, HasSubstr("a token was sent, from HF_TOKEN"));
    EXPECT_THAT(error.remedy, HasSubstr("open https://huggingface.co/org/name, accept the terms"));
  }
}

TEST(HfExplain, SaysThatNoTokenWasSentToAGatedRepository) {
  HfQuestion question = Asked();
  question.is_token_sent = false;
  const Error error = ExplainHf(question, 401, {{"X-Error-Code", "GatedRepo"}}, "");
  EXPECT_EQ(error.code, Code::kNoCredential);
  EXPECT_THAT(error.what, HasSubstr("no token was sent"));
  EXPECT_THAT(error.remedy, HasSubstr("HF_TOKEN"));
}

TEST(HfExplain, SaysAllThreeReasonsWhereTheHubDoesNotTell) {
  struct Row {
    int status;
    http::Headers headers;
    Code code;
  };
  for (const Row& row :
       {Row{401, {}, Code::kDenied}, Row{401, {{"X-Error-Code", "RepoNotFound"}}, Code::kDenied},
        Row{404, {{"X-Error-Code", "RepoNotFound"}}, Code::kNotFound},
        Row{404, {}, Code::kNotFound}}) {
    const Error error = ExplainHf(Asked(), row.status, row.headers, "");
    EXPECT_EQ(error.code, row.code);
    EXPECT_THAT(error.what, HasSubstr("does not exist, or is private, or the token is not good"));
  }
}

TEST(HfExplain, NamesTheSourceOfAWrongToken) {
  const char* words = "Invalid credentials in Authorization header";
  const Error by_header = ExplainHf(Asked(), 401, {{"X-Error-Message", words}}, "");
  const Error by_body =
      ExplainHf(Asked(), 401, {}, R"({"error":"Invalid credentials in Authorization header"})");
  for (const Error& error : {by_header, by_body}) {
    EXPECT_EQ(error.code, Code::kDenied);
    EXPECT_THAT(error.what, HasSubstr("the token from HF_TOKEN is wrong or has expired"));
  }
}

TEST(HfExplain, NamesTheRightThatAFineGrainedTokenLacks) {
  const Error error = ExplainHf(Asked(), 403, {}, "no");
  EXPECT_EQ(error.code, Code::kDenied);
  EXPECT_THAT(error.remedy, HasSubstr("fine-grained"));
  EXPECT_THAT(error.remedy, HasSubstr("gated repos"));
}

TEST(HfExplain, OffersNoTokenForADisabledRepository) {
  const Error error =
      ExplainHf(Asked(), 403, {{"X-Error-Message", "Access to this resource is disabled."}}, "");
  EXPECT_EQ(error.code, Code::kDenied);
  EXPECT_THAT(error.what, HasSubstr("disabled"));
  EXPECT_THAT(error.remedy, Not(HasSubstr("fine-grained")));
}

TEST(HfExplain, ListsNearRevisionsAndFiles) {
  HfQuestion question = Asked();
  question.revision = "v1.o";
  question.known = {"main", "v1.0"};
  const Error revision = ExplainHf(question, 404, {{"X-Error-Code", "RevisionNotFound"}}, "");
  EXPECT_EQ(revision.code, Code::kNotFound);
  EXPECT_THAT(revision.what, HasSubstr("no revision \"v1.o\""));
  EXPECT_THAT(revision.remedy, HasSubstr("did you mean v1.0?"));

  question.file = "weights";
  question.known = {"config.json", "model.safetensors"};
  const Error file = ExplainHf(question, 404, {{"X-Error-Code", "EntryNotFound"}}, "");
  EXPECT_EQ(file.code, Code::kNotFound);
  EXPECT_THAT(file.what, HasSubstr("no file \"weights\""));
  EXPECT_THAT(file.remedy, HasSubstr("there are: config.json"));
}

TEST(HfExplain, SaysHowLongToWait) {
  const Error by_limit = ExplainHf(
      Asked(), 429, {{"RateLimit", "\"api\";r=0;t=55"}, {"RateLimit-Policy", "\"fixed\""}}, "");
  EXPECT_EQ(by_limit.code, Code::kTemporary);
  EXPECT_THAT(by_limit.remedy, HasSubstr("in 55 s"));
  EXPECT_THAT(ExplainHf(Asked(), 429, {{"Retry-After", "7"}}, "").remedy, HasSubstr("in 7 s"));
  EXPECT_THAT(ExplainHf(Asked(), 429, {}, "").remedy, HasSubstr("later"));
}

TEST(HfExplain, TakesARangePastTheEndForAChangedFile) {
  EXPECT_EQ(ExplainHf(Asked(), 416, {}, "").code, Code::kBadInput);
}

TEST(HfExplain, NamesTheOtherWayToAFileOfTheXetProtocol) {
  HfQuestion question = Asked();
  question.is_of_storage = true;
  const Error error = ExplainHf(question, 400, {}, "");
  EXPECT_EQ(error.code, Code::kBadInput);
  EXPECT_THAT(error.what, HasSubstr("Xet protocol only"));
  EXPECT_THAT(error.remedy, HasSubstr("hf download org/name"));
}

TEST(HfExplain, DoesNotBlameTheTokenForARefusalOfTheStorage) {
  HfQuestion question = Asked();
  question.is_of_storage = true;
  const Error error = ExplainHf(question, 403, {}, "<Code>AccessDenied</Code>");
  EXPECT_EQ(error.code, Code::kDenied);
  EXPECT_THAT(error.what, HasSubstr("signed address"));
  EXPECT_THAT(error.remedy, Not(HasSubstr("token")));
}

TEST(HfExplain, AsksToTryAgainWhereTheHubIsDown) {
  for (const int status : {408, 500, 502, 503, 504})
    EXPECT_EQ(ExplainHf(Asked(), status, {}, "").code, Code::kUnavailable) << status;
  EXPECT_EQ(ExplainHf(Asked(), 418, {}, "").code, Code::kIo);
}

}  // namespace
}  // namespace ckpt

#include "store/kaggle/explain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ckpt {
namespace {

using testing::HasSubstr;

KaggleQuestion Asked() {
  KaggleQuestion question;
  question.handle = *KaggleHandle::Parse("google/gemma/maxtext/7b-it/2");
  question.credential = KaggleCredential::OfKey("jane", Secret("k3y"), "KAGGLE_USERNAME");
  question.credential.looked = {"KAGGLE_API_TOKEN", "/kaggle/kaggle.json"};
  return question;
}

TEST(KaggleExplain, SaysWhereCredentialsWereLookedFor) {
  KaggleQuestion question = Asked();
  EXPECT_THAT(ExplainKaggle(question, 401, "").what, HasSubstr("wrong: those of KAGGLE_USERNAME"));
  question.credential.authorization = {};
  const Error error = ExplainKaggle(question, 401, "");
  EXPECT_EQ(error.code, Code::kDenied);
  EXPECT_THAT(error.what, HasSubstr("missing; looked in KAGGLE_API_TOKEN, /kaggle/kaggle.json"));
}

TEST(KaggleExplain, NamesTheLicencesPageAndTheAccount) {
  const Error error = ExplainKaggle(Asked(), 403, R"({"code":403,"message":"no consent"})");
  EXPECT_EQ(error.code, Code::kDenied);
  EXPECT_THAT(error.what, HasSubstr("no consent"));
  EXPECT_THAT(error.remedy, HasSubstr("accept the model's licence at "
                                      "https://www.kaggle.com/models/google/gemma with the account "
                                      "jane, then run again"));
}

TEST(KaggleExplain, NamesKnownVersions) {
  KaggleQuestion question = Asked();
  question.newest = 3;
  const Error error = ExplainKaggle(question, 404, "");
  EXPECT_EQ(error.code, Code::kNotFound);
  EXPECT_THAT(error.what, HasSubstr("no such variation or version; known versions: 1 to 3"));
}

TEST(KaggleExplain, KnowsWhatMayPass) {
  EXPECT_EQ(ExplainKaggle(Asked(), 429, "").code, Code::kTemporary);
  EXPECT_EQ(ExplainKaggle(Asked(), 502, "").code, Code::kUnavailable);
  EXPECT_EQ(ExplainKaggle(Asked(), 418, "").code, Code::kIo);
  EXPECT_EQ(ExplainKaggleStorage(Asked(), 403).code, Code::kDenied);
  EXPECT_EQ(ExplainKaggleStorage(Asked(), 416).code, Code::kBadInput);
  EXPECT_EQ(ExplainKaggleStorage(Asked(), 503).code, Code::kUnavailable);
}

TEST(KaggleExplain, FindsErrorsInAnswersOfStatus200) {
  http::Response answer;
  answer.status = 200;
  answer.body = R"({"code":403,"message":"no"})";
  EXPECT_EQ(KaggleStatus(answer), 403);
  answer.body = R"({"files":[]})";
  EXPECT_EQ(KaggleStatus(answer), 200);
  answer.body = "code";
  EXPECT_EQ(KaggleStatus(answer), 200);
  answer.status = 404;
  EXPECT_EQ(KaggleStatus(answer), 404);
}

}  // namespace
}  // namespace ckpt

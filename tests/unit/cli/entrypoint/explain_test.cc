#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using Json = nlohmann::ordered_json;
using ::testing::HasSubstr;
using ::testing::Not;

Json Explained(const Strings& arguments) {
  const Reading read = Read(arguments);
  EXPECT_EQ(read.faults, "") << Joined(arguments);
  return Json::parse(ExplainJson(read.contract));
}

TEST(ExplainJson, HasAllThatAJobMeans) {
  const Json expected = {
      {"server", "jetstream-maxtext"},
      {"source", {{"kind", "kaggle"}, {"handle", "google/gemma/maxtext/7b-it/2"}}},
      {"family", "gemma"},
      {"model", "gemma-7b"},
      {"quantize", "int8"},
      {"outputs",
       {{"scanned", "gs://bkt/final/scanned/gemma_7b-it/0/items"},
        {"unscanned", "gs://bkt/final/unscanned/gemma_7b-it/0/checkpoints/0/items"},
        {"quantized", "gs://bkt/final/int8/gemma_7b-it"}}},
      {"base_copy", "gs://bkt/base/gemma_7b-it"},
      {"wait_for",
       {"Completed unscanning checkpoint to "
        "gs://bkt/final/unscanned/gemma_7b-it/0/checkpoints/0/items",
        "Completed quantizing model gemma-7b with int8 to gs://bkt/final/int8/gemma_7b-it"}}};
  EXPECT_EQ(Explained({"-b=bkt", "-m=google/gemma/maxtext/7b-it/2", "-q=1", "-t=int8"}), expected);
}

TEST(ExplainJson, NamesEachKindOfSource) {
  EXPECT_EQ(Explained({"-b=bkt", "-o=/o", "-m=a/Llama-2-7b", "-h=1"})["source"],
            (Json{{"kind", "huggingface"}, {"repository", "a/Llama-2-7b"}}));
  EXPECT_EQ(Explained({"-b=bkt", "-o=/o", "-m=Llama-2-7b", "-u=https://x"})["source"],
            (Json{{"kind", "meta"}, {"model_id", "Llama-2-7b"}}));
  EXPECT_EQ(Explained({"-s=jetstream-pytorch", "-o=/o", "-m=/m", "-i=gs://bkt/x"})["source"],
            (Json{{"kind", "directory"}, {"path", "gs://bkt/x"}, {"mounted_at", "/m/x"}}));
  const Json other = Explained({"-b=bkt", "-m=google/gemma-7b", "-h=1", "-i=/in"});
  EXPECT_EQ(other["source"], (Json{{"kind", "directory"}, {"path", "/in"}}));
  EXPECT_EQ(other["source_otherwise"],
            (Json{{"kind", "huggingface"}, {"repository", "google/gemma-7b"}}));
}

TEST(ExplainJson, HasNullWhereTheFilesDecide) {
  const Json json = Explained({"-s=jetstream-pytorch", "-o=/o", "-m=/m", "-i=/in"});
  EXPECT_TRUE(json["model"].is_null());
  EXPECT_TRUE(json["quantize"].is_null());
  EXPECT_FALSE(json.contains("base_copy"));
  EXPECT_FALSE(json.contains("warnings"));
}

TEST(ExplainJson, HasTheWarnings) {
  const Json json = Explained({"-b=bkt/", "-m=google/gemma/maxtext/7b-it/2"});
  ASSERT_EQ(json["warnings"].size(), 1U);
  EXPECT_THAT(json["warnings"][0].get<std::string>(), HasSubstr("is read as bkt"));
}

TEST(ExplainJson, NeverHoldsTheQueryOfAUrl) {
  const Strings arguments = {"-b=bkt", "-o=/o", "-n=llama-2", "-u=https://x.example/?PLANTED",
                             "-m=https://x.example/llama-2-7b?PLANTED"};
  EXPECT_THAT(ExplainJson(Read(arguments).contract), Not(HasSubstr("PLANTED")));
}

TEST(ExplainJson, SurvivesWordsThatAreNoUtf8) {
  const Contract contract =
      Read({"-s=jetstream-pytorch", "-o=/o\xff", "-m=/m", "-i=/in\xc3"}).contract;
  EXPECT_TRUE(Json::accept(ExplainJson(contract)));
}

TEST(ExplainJson, TellsAnErrorWithAllOfItsParts) {
  const Json expected = {{"error",
                          {{"exit_code", 64},
                           {"what", "2 arguments are wrong"},
                           {"details", {"one", "two"}},
                           {"remedy", "mend them"}}}};
  const Error error{Code::kUsage, "2 arguments are wrong", {"one", "two"}, {}, "mend them"};
  EXPECT_EQ(Json::parse(ExplainJson(error)), expected);
}

}  // namespace
}  // namespace ckpt::contract

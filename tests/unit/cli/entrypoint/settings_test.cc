#include "cli/entrypoint/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using ::testing::HasSubstr;

const Strings kLlama = {"-b=bkt", "-n=llama-3.1", "-m=Llama3.1-8B", "-u=https://l.example/x",
                        "-o=gs://bkt/o"};
const Strings kPytorch = {"-s=jetstream-pytorch", "-m=/models", "-i=gs://bkt/in",
                          "-o=gs://bkt/out"};

Result<Arguments> Settled(const Strings& arguments, const Variables& variables = {}) {
  Faults faults;
  const Words words = ParseWords(arguments, faults);
  const Contract contract = Interpret(words, EnvironmentOf(variables), faults);
  return Settle(contract, words, EnvironmentOf(variables), faults);
}

TEST(Settle, MaxTextNamesItsOutputsByTheirTypes) {
  const auto settled = Settled(With(kLlama, {"-q=1", "-t=int4w"}));
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->target, "maxtext");
  EXPECT_EQ(settled->outputs, "scanned,unscanned,int4w");
  EXPECT_EQ(settled->quantize, "");
  EXPECT_EQ(settled->model_name, "llama3.1-8b");
}

TEST(Settle, PytorchQuantizesItsOneOutput) {
  const auto settled = Settled(With(kPytorch, {"-q=1", "-n=llama-3"}));
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->target, "jetstream-pytorch");
  EXPECT_EQ(settled->quantize, "int8_per_channel");
  EXPECT_EQ(settled->outputs, "");
  EXPECT_EQ(settled->model_name, "llama-3");
}

TEST(Settle, PassesOnTheOptionsOfTheVerbs) {
  const auto settled =
      Settled(With(kLlama, {"--memory=256MiB", "--threads=3", "--bundle_size=2MiB", "--io=buffered",
                            "--dtype=float32", "--mesh=fsdp=16", "--orbax_layout=pathways",
                            "--quant_layout=nnx", "--rope_layout=half", "--compression=zstd:1",
                            "--source_format=gguf", "--family=llama", "--overwrite"}));
  ASSERT_TRUE(settled) << settled.error().Print();
  EXPECT_EQ(settled->memory, "256MiB");
  EXPECT_EQ(settled->threads, 3U);
  EXPECT_EQ(settled->bundle_size, "2MiB");
  EXPECT_EQ(settled->io, "buffered");
  EXPECT_EQ(settled->dtype, "float32");
  EXPECT_EQ(settled->mesh, "fsdp=16");
  EXPECT_EQ(settled->orbax_layout, "pathways");
  EXPECT_EQ(settled->quant_layout, "nnx");
  EXPECT_EQ(settled->rope_layout, "half");
  EXPECT_EQ(settled->compression, "zstd:1");
  EXPECT_EQ(settled->source_format, "gguf");
  EXPECT_EQ(settled->family, "llama");
  EXPECT_TRUE(settled->is_overwriting);
}

TEST(Settle, PassesOnTheShard) {
  const Variables pod = {{"JOB_COMPLETION_INDEX", "3"}};
  const auto indexed = Settled(With(kLlama, {"--shards=8", "--verify-resume"}), pod);
  ASSERT_TRUE(indexed) << indexed.error().Print();
  EXPECT_EQ(indexed->shard.shards, "8");
  EXPECT_TRUE(indexed->is_verifying_resume);
  EXPECT_EQ(ParseSettings(*indexed)->shard.index, 3U) << "with the job's own environment";
  const auto part = Settled(With(kLlama, {"--shard=2/8", "--verify_resume=False"}));
  ASSERT_TRUE(part);
  EXPECT_EQ(part->shard.shard, "2/8");
  EXPECT_FALSE(part->is_verifying_resume);
}

TEST(Settle, NeedsAnIndexOnlyWhereSomethingIsMade) {
  const auto missing = Settled(With(kLlama, {"--shards=8"}));
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().what, HasSubstr("JOB_COMPLETION_INDEX"));
  EXPECT_TRUE(Settled(With(kLlama, {"--shards=8", "--explain"})));
  EXPECT_TRUE(Settled(With(kLlama, {"--shards=8", "--dry_run"})));
  EXPECT_FALSE(Settled(With(kLlama, {"--shard=8/8", "--dry_run"})));
}

TEST(Settle, LeavesDefaultsToTheVerbs) {
  const auto settled = Settled(kLlama);
  ASSERT_TRUE(settled);
  EXPECT_EQ(settled->io, "auto");
  EXPECT_EQ(settled->threads, 0U);
  EXPECT_EQ(settled->memory, "");
  EXPECT_FALSE(settled->is_overwriting);
}

TEST(Settle, JoinsFaultsOfTheVerbsOptionsToTheOthers) {
  const auto settled = Settled(With(kLlama, {"-o=", "--memory=lots", "--dtype=int3", "--threads=0",
                                             "--source_format=zip", "--nonsense=1"}));
  ASSERT_FALSE(settled);
  EXPECT_EQ(settled.error().code, Code::kUsage);
  EXPECT_EQ(settled.error().details.size(), 6U) << settled.error().Print();
  for (const char* option :
       {"--output_directory", "--memory", "--dtype", "--threads", "zip", "--nonsense"})
    EXPECT_THAT(settled.error().Print(), HasSubstr(option));
}

TEST(Settle, RefusesOptionsOfTheOtherServer) {
  for (const std::string option :
       {"--dtype=float32", "--mesh=fsdp=2", "--orbax_layout=ocdbt", "--quant_layout=nnx",
        "--rope_layout=half", "--compression=none"}) {
    const auto settled = Settled(With(kPytorch, {option}));
    ASSERT_FALSE(settled) << option;
    EXPECT_EQ(settled.error().code, Code::kUsage);
  }
}

TEST(Settle, RefusesWhatIsNoNumberOfThreads) {
  for (const std::string word : {"0", "-1", "+1", "2.5", "two", "4x", "4294967296"}) {
    const auto settled = Settled(With(kLlama, {"--threads=" + word}));
    ASSERT_FALSE(settled) << word;
    EXPECT_THAT(settled.error().what, HasSubstr("--threads " + word));
  }
}

TEST(Settle, OneFaultIsToldOnce) {
  // Without outputs the verbs would complain of a second thing.
  for (const Strings& arguments :
       {With(kLlama, {"-m="}), With(kLlama, {"--outputs=x"}), With(kPytorch, {"-o="})}) {
    const auto settled = Settled(arguments);
    ASSERT_FALSE(settled);
    EXPECT_TRUE(settled.error().details.empty()) << settled.error().Print();
  }
}

}  // namespace
}  // namespace ckpt::contract

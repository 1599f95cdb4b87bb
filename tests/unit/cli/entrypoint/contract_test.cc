#include "cli/entrypoint/contract.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Kind = Source::Kind;

const Strings kGemma = {"-b=bkt", "-m=google/gemma/maxtext/7b-it/2"};
const Strings kLlama = {"-b=bkt", "-n=llama-3.1", "-m=Llama3.1-8B",
                        "-u=https://l.example/x?PLANTED", "-o=gs://bkt/o"};
const Strings kPytorch = {"-s=jetstream-pytorch", "-m=/models", "-i=gs://bkt/in",
                          "-o=gs://bkt/out"};

Strings Places(const Contract& contract) {
  Strings places;
  for (const Output& output : contract.outputs) places.push_back(output.role + " " + output.path);
  return places;
}

// --------------------------------------------------------------------- 2.1: outputs, final lines

TEST(Interpret, GemmaFromKaggleLiesInTheBucketsFinal) {
  const Reading read = Read(kGemma);
  const Contract& contract = read.contract;
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(contract.server, Server::kMaxText);
  EXPECT_EQ(contract.source.kind, Kind::kKaggle);
  EXPECT_EQ(contract.source.name, "google/gemma/maxtext/7b-it/2");
  EXPECT_EQ(contract.family, "gemma");
  EXPECT_EQ(contract.model, "gemma-7b");
  EXPECT_EQ(contract.quantize, "");
  EXPECT_EQ(contract.folder, "gs://bkt/final");
  EXPECT_EQ(contract.state_name, "gemma_7b-it");
  EXPECT_EQ(contract.base_copy, "gs://bkt/base/gemma_7b-it");
  EXPECT_THAT(Places(contract),
              ElementsAre("scanned gs://bkt/final/scanned/gemma_7b-it/0/items",
                          "unscanned gs://bkt/final/unscanned/gemma_7b-it/0/checkpoints/0/items"));
  EXPECT_THAT(FinalLines(contract),
              ElementsAre("Completed unscanning checkpoint to "
                          "gs://bkt/final/unscanned/gemma_7b-it/0/checkpoints/0/items"));
  EXPECT_THAT(contract.warnings, IsEmpty());
}

TEST(Interpret, GemmaQuantizedLiesBesideTheOthers) {
  const Contract contract = Read(With(kGemma, {"-q=True", "-t=int8w"})).contract;
  EXPECT_EQ(contract.quantize, "int8w");
  EXPECT_EQ(Places(contract).back(), "quantized gs://bkt/final/int8w/gemma_7b-it");
  EXPECT_EQ(FinalLines(contract).back(),
            "Completed quantizing model gemma-7b with int8w to gs://bkt/final/int8w/gemma_7b-it");
}

TEST(Interpret, GemmaFromKaggleKeepsItsPlacesBesideAnOutputDirectory) {
  const Contract contract = Read(With(kGemma, {"-o=gs://bkt/o"})).contract;
  EXPECT_EQ(Places(contract), Places(Read(kGemma).contract));
  EXPECT_THAT(contract.warnings, ElementsAre(AllOf(HasSubstr("--output_directory has no effect"),
                                                   HasSubstr("gs://bkt/final"))));
}

TEST(Interpret, GemmaFromHuggingfaceLiesInTheOutputOrUnderItsName) {
  const Strings gemma = {"-b=bkt", "-m=google/gemma-2-9b-it", "-h=True"};
  const Contract without = Read(gemma).contract;
  EXPECT_EQ(without.source.kind, Kind::kHuggingface);
  EXPECT_EQ(without.model, "gemma2-9b");
  EXPECT_EQ(without.base_copy, "");
  EXPECT_THAT(
      Places(without),
      ElementsAre("scanned gs://bkt/final/scanned/gemma-2-9b-it/0/items",
                  "unscanned gs://bkt/final/unscanned/gemma-2-9b-it/0/checkpoints/0/items"));
  const Contract with = Read(With(gemma, {"-o=gs://bkt/o"})).contract;
  EXPECT_THAT(Places(with), ElementsAre("scanned gs://bkt/o/bf16/scanned/0/items",
                                        "unscanned gs://bkt/o/bf16/unscanned/checkpoints/0/items"));
  EXPECT_EQ(with.state_name, "");
}

TEST(Interpret, GemmaOfAHandleWithoutAVersionIsTheLatest) {
  const Contract contract = Read({"-b=bkt", "-m=google/gemma/maxtext/2b"}).contract;
  EXPECT_EQ(contract.source.kind, Kind::kKaggle);
  EXPECT_EQ(contract.model, "gemma-2b");
  EXPECT_THAT(contract.notices, ElementsAre(HasSubstr("the latest")));
}

TEST(Interpret, LlamaFromMetaLiesInTheOutput) {
  const Reading read = Read(kLlama);
  const Contract& contract = read.contract;
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(contract.source.kind, Kind::kMeta);
  EXPECT_EQ(contract.source.name, "Llama3.1-8B");
  EXPECT_EQ(contract.meta_url.Reveal(), "https://l.example/x?PLANTED");
  EXPECT_EQ(contract.family, "llama");
  EXPECT_EQ(contract.model, "llama3.1-8b");
  EXPECT_EQ(contract.folder, "gs://bkt/o");
  EXPECT_EQ(contract.state_name, "");
  EXPECT_EQ(contract.base_copy, "");
  EXPECT_THAT(Places(contract),
              ElementsAre("scanned gs://bkt/o/bf16/scanned/0/items",
                          "unscanned gs://bkt/o/bf16/unscanned/checkpoints/0/items"));
  EXPECT_THAT(FinalLines(contract), ElementsAre("Completed unscanning checkpoint to "
                                                "gs://bkt/o/bf16/unscanned/checkpoints/0/items"));
  EXPECT_THAT(contract.warnings, IsEmpty());
}

TEST(Interpret, LlamaQuantizedIsTheTreeItself) {
  for (const std::string type : {"int8", "int8w", "int4w", "intmp", "fp8"}) {
    const Reading read = Read(With(kLlama, {"-q=True", "-t=" + type}));
    EXPECT_EQ(read.faults, "") << type;
    EXPECT_EQ(Places(read.contract).back(), "quantized gs://bkt/o/" + type);
    EXPECT_EQ(
        FinalLines(read.contract).back(),
        fmt::format("Completed quantizing model llama3.1-8b with {0} to gs://bkt/o/{0}", type));
  }
}

TEST(Interpret, SlashesOfTheOutputCollapse) {
  for (const std::string folder : {"gs://bkt/o", "gs://bkt/o/", "gs://bkt//o///"})
    EXPECT_EQ(Places(Read(With(kLlama, {"-o=" + folder})).contract), Places(Read(kLlama).contract))
        << folder;
  const Contract contract = Read(With(kPytorch, {"-o=gs://bkt/out/"})).contract;
  EXPECT_EQ(Places(contract), Places(Read(kPytorch).contract));
  // This line shows the word as it was given.
  EXPECT_THAT(FinalLines(contract),
              ElementsAre("Completed uploading converted checkpoint from local path /pt-ckpt/ to "
                          "GSBucket gs://bkt/out/"));
}

TEST(Interpret, OutputsMayBeLocal) {
  const Reading read = Read(With(kLlama, {"-o=/out/x/"}));
  EXPECT_EQ(read.faults, "");
  EXPECT_THAT(Places(read.contract),
              ElementsAre("scanned /out/x/bf16/scanned/0/items",
                          "unscanned /out/x/bf16/unscanned/checkpoints/0/items"));
}

TEST(Interpret, PytorchLeavesWeightsParamsAndTokenizer) {
  const Reading read = Read(kPytorch);
  const Contract& contract = read.contract;
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(contract.server, Server::kPytorch);
  EXPECT_EQ(contract.family, "llama");  // without --model_name
  EXPECT_EQ(contract.model, "");
  EXPECT_THAT(Places(contract), ElementsAre("weights gs://bkt/out/model.safetensors",
                                            "params gs://bkt/out/params.json",
                                            "tokenizer gs://bkt/out/tokenizer.model"));
  EXPECT_THAT(FinalLines(contract),
              ElementsAre("Completed uploading converted checkpoint from local path /pt-ckpt/ to "
                          "GSBucket gs://bkt/out"));
}

TEST(Interpret, PytorchHasNoParamsOfALlamaInHuggingfacesForm) {
  const auto has_params = [](const std::string& path, const std::string& name) {
    const Reading read =
        Read({"-s=jetstream-pytorch", "-m=" + path, "-n=" + name, "-o=gs://bkt/o", "-h=True"});
    EXPECT_EQ(read.faults, "") << path;
    EXPECT_EQ(read.contract.source.kind, Kind::kHuggingface) << path;
    return read.contract.outputs.size() == 3;
  };
  EXPECT_FALSE(has_params("meta-llama/Llama-2-7b-hf", "llama-2"));
  EXPECT_TRUE(has_params("meta-llama/Llama-2-7b", "llama-2"));  // Meta's form, on the hub
  EXPECT_FALSE(has_params("meta-llama/Meta-Llama-3-8B", "llama-3"));
  EXPECT_TRUE(has_params("google/gemma-2b-pytorch", "gemma"));
}

TEST(Interpret, OutputsNarrowsWhatIsWritten) {
  const Strings all = With(kLlama, {"-q=True", "-t=int8"});
  EXPECT_THAT(Places(Read(With(all, {"--outputs=quantized"})).contract),
              ElementsAre("quantized gs://bkt/o/int8"));
  const Contract contract = Read(With(all, {"--outputs=unscanned,scanned"})).contract;
  EXPECT_THAT(Places(contract),
              ElementsAre("scanned gs://bkt/o/bf16/scanned/0/items",
                          "unscanned gs://bkt/o/bf16/unscanned/checkpoints/0/items"));
  EXPECT_EQ(FinalLines(contract).size(), 1U);
  EXPECT_THAT(FinalLines(Read(With(kLlama, {"--outputs=scanned"})).contract), IsEmpty());
}

TEST(Interpret, OpensWithTheLinesOfTheOriginal) {
  const Contract contract =
      Read(With(kLlama, {"-v=jetstream-v0.2.2", "-h=False", "-q=1", "-t=int8"})).contract;
  EXPECT_THAT(
      contract.opening_lines,
      ElementsAre("Inference server is jetstream-maxtext", "Bucket name=bkt",
                  "Model path=Llama3.1-8B", "Model name=llama-3.1", "Version=jetstream-v0.2.2",
                  "Output ckpt dir=gs://bkt/o", "Huggingface=False",
                  "Model size for Llama3.1-8B is llama3.1-8b", "Quantize weights: True"));
  EXPECT_EQ(Read(kPytorch).contract.opening_lines.front(), "Inference server is jetstream-pytorch");
}

TEST(Interpret, TakesAnyVersion) {
  for (const std::string version : {"main", "jetstream-v0.2.0", "anything"})
    EXPECT_EQ(Places(Read(With(kLlama, {"-v=" + version})).contract),
              Places(Read(kLlama).contract));
}

// --------------------------------------------------------------------- sources

TEST(Interpret, AMountedBucketIsReadThereOrAsABucket) {
  const std::vector<std::tuple<std::string, std::string, std::string>> rows = {
      {"/models", "gs://bkt/pytorch/base/", "/models/pytorch/base/"},
      {"/models/", "gs://bkt/in", "/models/in"},
      {"/models", "gs://bkt", "/models"},
      {"/models", "/elsewhere", ""},
      {"meta-llama/Llama-2-7b", "gs://bkt/in", ""}};
  for (const auto& [path, input, mounted] : rows) {
    const Contract contract =
        Read({"-s=jetstream-pytorch", "-m=" + path, "-i=" + input, "-o=gs://bkt/out"}).contract;
    EXPECT_EQ(contract.source.kind, Kind::kDirectory);
    EXPECT_EQ(contract.source.name, input);
    EXPECT_EQ(contract.source.mounted_at, mounted) << path << " " << input;
    EXPECT_FALSE(contract.otherwise);
  }
}

TEST(Interpret, AnInputDirectoryComesBeforeADownload) {
  const std::vector<std::pair<Strings, Kind>> rows = {
      {With(kLlama, {"-i=gs://bkt/in"}), Kind::kMeta},
      {With(kGemma, {"-i=gs://bkt/in"}), Kind::kKaggle},
      {{"-b=bkt", "-m=meta-llama/Meta-Llama-3-8B", "-h=1", "-o=/o", "-i=gs://bkt/in"},
       Kind::kHuggingface},
      {{"-s=jetstream-pytorch", "-m=google/gemma-2b", "-n=gemma", "-h=1", "-o=/o",
        "-i=gs://bkt/in"},
       Kind::kHuggingface}};
  for (const auto& [arguments, kind] : rows) {
    const Reading read = Read(arguments);
    EXPECT_EQ(read.faults, "") << Joined(arguments);
    EXPECT_EQ(read.contract.source.kind, Kind::kDirectory) << Joined(arguments);
    EXPECT_EQ(read.contract.source.name, "gs://bkt/in") << Joined(arguments);
    ASSERT_TRUE(read.contract.otherwise) << Joined(arguments);
    EXPECT_EQ(read.contract.otherwise->kind, kind) << Joined(arguments);
  }
}

TEST(Interpret, AnInputDirectoryIsEnoughForALlama) {
  const Reading read = Read(With(Without(kLlama, "-u"), {"-i=/models/x"}));
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(read.contract.source.name, "/models/x");
  EXPECT_FALSE(read.contract.otherwise);
}

TEST(Interpret, AModelPathMayBeADirectory) {
  for (const std::string path : {"/models/llama-2-7b", "gs://bkt/llama-2-7b", "./llama-2-7b"}) {
    const Reading read = Read({"-b=bkt", "-o=gs://bkt/o", "-m=" + path});
    EXPECT_EQ(read.faults, "") << path;
    EXPECT_EQ(read.contract.source.kind, Kind::kDirectory) << path;
    EXPECT_EQ(read.contract.source.name, path);
    EXPECT_EQ(read.contract.model, "llama2-7b");
  }
  // The files tell the size.
  const Reading gemma = Read({"-b=bkt", "-o=gs://bkt/o", "-m=/models/gemma"});
  EXPECT_EQ(gemma.faults, "");
  EXPECT_EQ(gemma.contract.source.kind, Kind::kDirectory);
  EXPECT_EQ(gemma.contract.model, "");
}

TEST(Interpret, AWrongHuggingfaceWordIsAWarningWhereThePathSettlesIt) {
  const auto warning = [](const Strings& arguments) {
    const Reading read = Read(arguments);
    EXPECT_EQ(read.faults, "") << Joined(arguments);
    return Joined(read.contract.warnings);
  };
  EXPECT_THAT(warning(With(kGemma, {"-h=True"})), HasSubstr("is a Kaggle handle"));
  EXPECT_THAT(warning({"-b=bkt", "-m=google/gemma-7b"}), HasSubstr("taken for a Hugging Face"));
  EXPECT_THAT(warning({"-b=bkt", "-o=/o", "-m=/m/llama-2-7b", "-h=1"}),
              HasSubstr("the model path is a directory"));
  EXPECT_THAT(warning(With(kLlama, {"-h=True"})), HasSubstr("no Hugging Face repository"));
  EXPECT_THAT(warning(With(kPytorch, {"-h=True"})), HasSubstr("the input directory is read"));
  EXPECT_THAT(warning(With(kLlama, {"-m=meta-llama/Llama-3.1-8B", "-h=True"})),
              HasSubstr("Meta's URL has no effect"));
}

TEST(Interpret, TakesMetasUrlFromFlagThenFileThenEnvironment) {
  const Strings llama = Without(kLlama, "-u");
  const Variables variables = {{"META_URL", "https://env.example/?PLANTED"}};
  const Contract from_flag = Read(kLlama, variables).contract;
  EXPECT_EQ(from_flag.meta_url.Reveal(), "https://l.example/x?PLANTED");
  const Contract from_file = Read(With(llama, {"--meta_url_file=/secret/url"}), variables).contract;
  EXPECT_TRUE(from_file.meta_url.empty());
  EXPECT_EQ(from_file.meta_url_file, "/secret/url");
  EXPECT_EQ(from_file.source.kind, Kind::kMeta);
  const Contract from_variable = Read(llama, variables).contract;
  EXPECT_EQ(from_variable.meta_url.Reveal(), "https://env.example/?PLANTED");
  EXPECT_EQ(from_variable.source.kind, Kind::kMeta);
}

TEST(Interpret, NeverShowsMetasUrl) {
  for (const Variables& variables : {Variables{}, Variables{{"META_URL", "PLANTED"}},
                                     Variables{{"META_URL", "https://x.example/?PLANTED"}}}) {
    for (const Strings& arguments :
         {kLlama, Without(kLlama, "-u"), With(kLlama, {"-u=PLANTED"}), With(kLlama, {"-b="}),
          With(kGemma, {"-u=PLANTED"}), With(kPytorch, {"-u=https://x.example/?PLANTED"}),
          With(kLlama, {"-m=https://x.example/llama-2-7b?PLANTED"}),
          With(kLlama, {"-o=https://x.example/?PLANTED", "-i=https://x.example/?PLANTED"}),
          With(kLlama, {"-n=https://x.example/?PLANTED", "-b=https://x.example/?PLANTED"}),
          With(kLlama, {"-s=https://x.example/?PLANTED", "-q=https://x.example/?PLANTED"}),
          With(kLlama, {"-q=1", "-t=https://x.example/?PLANTED"}),
          With(kLlama, {"--outputs=https://x.example/?PLANTED"})}) {
      const Reading read = Read(arguments, variables);
      EXPECT_THAT(read.faults, Not(HasSubstr("PLANTED"))) << Joined(arguments);
      EXPECT_THAT(read.contract.warnings, Not(Contains(HasSubstr("PLANTED")))) << Joined(arguments);
      EXPECT_THAT(read.contract.notices, Not(Contains(HasSubstr("PLANTED")))) << Joined(arguments);
      EXPECT_THAT(read.contract.opening_lines, Not(Contains(HasSubstr("PLANTED"))))
          << Joined(arguments);
    }
  }
}

// --------------------------------------------------------------------- 1.5: refusals

TEST(Interpret, RefusesBeforeAnyByteWhatCannotWork) {
  struct Row {
    std::string name;
    Strings arguments;
    Strings mentions;
  };
  const std::vector<Row> rows = {
      {"MaxText, no bucket",
       Without(kGemma, "-b"),
       {"--bucket_name", "BUCKET_NAME is empty, please provide a GSBucket"}},
      {"MaxText Llama, no bucket", Without(kLlama, "-b"), {"--bucket_name"}},
      {"no model path",
       Without(kLlama, "-m"),
       {"--model_path", "MODEL_PATH is empty, please provide the model path"}},
      {"PyTorch, no model path", Without(kPytorch, "-m"), {"--model_path"}},
      {"unknown server",
       With(kGemma, {"-s=vllm"}),
       {"vllm", "valid inference server", "jetstream-maxtext", "jetstream-pytorch"}},
      {"server in another case", With(kGemma, {"-s=JetStream-MaxText"}), {"JetStream-MaxText"}},
      {"path of no family",
       {"-b=bkt", "-m=someone/mystery-7b", "-o=gs://bkt/o"},
       {"someone/mystery-7b", "gemma", "llama-3.1"}},
      {"Llama, unknown name",
       With(kLlama, {"-n=llama-3.2"}),
       {"--model_name llama-3.2", "did you mean"}},
      {"Llama, name of a Gemma", With(kLlama, {"-n=gemma"}), {"--model_name gemma is unknown"}},
      {"Llama, no name and none in the path",
       With(kLlama, {"-n=", "-m=llama-8b"}),
       {"--model_name", "llama-2", "llama-3.3"}},
      {"Llama, no size",
       With(kLlama, {"-m=Llama3.1-Instruct"}),
       {"Llama3.1-Instruct", "8b, 70b, 405b"}},
      {"Llama, size of another generation",
       With(kLlama, {"-n=llama-3", "-m=Llama3.1-405B"}),
       {"Llama3.1-405B", "8b, 70b"}},
      {"Llama, no output", Without(kLlama, "-o"), {"--output_directory"}},
      {"Llama, no Meta URL",
       Without(kLlama, "-u"),
       {"--meta_url", "META_URL is empty, please provide the Meta url by visiting"}},
      {"Llama, a repository without the word",
       With(Without(kLlama, "-u"), {"-m=a/Llama-3.1-8B"}),
       {"--meta_url", "--huggingface=True"}},
      {"Llama, no repository",
       With(Without(kLlama, "-u"), {"-h=True"}),
       {"Llama3.1-8B", "ORGANISATION/NAME"}},
      {"Gemma, neither handle nor repository", {"-b=bkt", "-m=gemma-7b"}, {"gemma-7b", "handle"}},
      {"Gemma, no size", {"-b=bkt", "-m=google/gemma/maxtext/it/2"}, {"size of Gemma"}},
      {"MaxText, type missing",
       With(kLlama, {"-q=True"}),
       {"--quantize_type", "int8, int8w, int4w, intmp, fp8"}},
      {"MaxText, unknown type",
       With(kLlama, {"-q=True", "-t=int9"}),
       {"int9", "int8, int8w, int4w, intmp, fp8"}},
      {"MaxText, type of the other server",
       With(kLlama, {"-q=True", "-t=int8_per_channel"}),
       {"int8_per_channel", "int8, int8w, int4w, intmp, fp8"}},
      {"Gemma, type missing", With(kGemma, {"-q=True"}), {"int8, int8w, int4w, intmp, fp8"}},
      {"PyTorch, unknown type",
       With(kPytorch, {"-q=True", "-t=int8"}),
       {"--quantize_type int8",
        "int8_per_channel, int4_per_channel, int8_blockwise, int4_blockwise"}},
      {"PyTorch, no output", Without(kPytorch, "-o"), {"--output_directory"}},
      {"PyTorch, no input", Without(kPytorch, "-i"), {"--input_directory=/models"}},
      {"PyTorch, a repository without the word",
       {"-s=jetstream-pytorch", "-m=a/b", "-o=/o"},
       {"--input_directory", "--huggingface=True"}},
      {"PyTorch, no repository", With(Without(kPytorch, "-i"), {"-h=True"}), {"ORGANISATION/NAME"}},
      {"PyTorch, unknown name", With(kPytorch, {"-n=mystery"}), {"mystery", "llama-3.1"}},
      {"unreplaced bucket",
       With(kGemma, {"-b=BUCKET_NAME"}),
       {"BUCKET_NAME was not replaced", "$(NAME)"}},
      {"shell's variable as bucket",
       With(kGemma, {"-b=$BUCKET_NAME"}),
       {"$BUCKET_NAME was not replaced", "$(NAME)"}},
      {"illegal bucket", With(kGemma, {"-b=Bkt"}), {"Bkt is no legal name"}},
      {"bucket with a folder", With(kGemma, {"-b=gs://bkt/x"}), {"bkt/x is no legal name"}},
      {"only the scheme as bucket", With(kGemma, {"-b=gs://"}), {"an empty word is no legal name"}},
      {"unreplaced path", {"-b=bkt", "-m=MODEL_PATH"}, {"--model_path MODEL_PATH", "placeholder"}},
      {"unreplaced bucket of the output",
       With(kLlama, {"-o=gs://BUCKET_NAME/o"}),
       {"--output_directory", "BUCKET_NAME was not replaced"}},
      {"unreplaced bucket of the input",
       With(kPytorch, {"-i=gs://BUCKET_NAME/o"}),
       {"--input_directory", "BUCKET_NAME was not replaced"}},
      {"unreplaced folder of the output",
       With(kLlama, {"-o=gs://bkt/${DIR}"}),
       {"--output_directory", "placeholder"}},
      {"illegal bucket of the output",
       With(kLlama, {"-o=gs://B/o"}),
       {"--output_directory: B is no legal name"}},
      {"output of another scheme",
       With(kLlama, {"-o=s3://bkt/o"}),
       {"--output_directory s3://bkt/o", "gs://BUCKET/FOLDER"}},
      {"a word as output", With(kLlama, {"-o=out"}), {"--output_directory out"}},
      {"a server's name misspelt at -i",
       With(kGemma, {"-i=jetstream-pytroch"}),
       {"jetstream-pytroch", "no inference server", "jetstream-pytorch"}},
      {"Meta URL no URL",
       With(kLlama, {"-u=META_URL"}),
       {"--meta_url", "the placeholder was not replaced", "llama-downloads"}},
      {"boolean", With(kGemma, {"--quantize_weights=maybe"}), {"--quantize_weights maybe"}},
      {"boolean of Hugging Face", With(kGemma, {"-h=maybe"}), {"--huggingface maybe"}},
      {"switch", With(kGemma, {"--dry_run=maybe"}), {"--dry_run maybe"}},
      {"unknown output", With(kLlama, {"--outputs=scaned"}), {"scaned", "did you mean scanned?"}},
      {"quantized without weights", With(kLlama, {"--outputs=quantized"}), {"--quantize_weights"}},
      {"--outputs for PyTorch", With(kPytorch, {"--outputs=scanned"}), {"--outputs"}},
  };
  for (const Row& row : rows) {
    const Reading read = Read(row.arguments);
    EXPECT_EQ(read.fault_count, 1U) << row.name << "\n" << read.faults;
    EXPECT_THAT(read.faults, HasSubstr("(exit 64)")) << row.name;
    for (const std::string& mention : row.mentions)
      EXPECT_THAT(read.faults, HasSubstr(mention)) << row.name;
  }
}

TEST(Interpret, RefusesAVariableThatHoldsNoUrl) {
  const Reading read = Read(Without(kLlama, "-u"), {{"META_URL", "PLANTED"}});
  EXPECT_EQ(read.fault_count, 1U);
  EXPECT_THAT(read.faults, HasSubstr("META_URL"));
}

TEST(Interpret, CollectsAllFaultsAtOnce) {
  const Reading llama = Read({"-m=Llama3.1-8B", "-n=llama-9", "-q=1", "-t=int9", "--dry_run=x",
                              "--zzz", "-i=gs://BUCKET_NAME"});
  // Unknown flag, switch, bucket, input's bucket, name, output, type.
  EXPECT_EQ(llama.fault_count, 7U) << llama.faults;
  const Reading pytorch =
      Read({"-s=jetstream-pytorch", "-m=/models", "-n=mystery", "-q=1", "-t=x"});
  // Name, input, output, type.
  EXPECT_EQ(pytorch.fault_count, 4U) << pytorch.faults;
}

TEST(Interpret, ANewcomersEmptyListNamesWhatIsNeeded) {
  const Reading read = Read({});
  EXPECT_EQ(read.fault_count, 2U);
  EXPECT_THAT(read.faults, HasSubstr("--bucket_name"));
  EXPECT_THAT(read.faults, HasSubstr("--model_path"));
}

TEST(Interpret, NoSizeAndNoSourceAreTwoFaults) {
  const Reading read = Read(With(Without(kLlama, "-u"), {"-m=Llama3.1-Instruct"}));
  EXPECT_EQ(read.fault_count, 2U) << read.faults;
  EXPECT_THAT(read.faults, HasSubstr("--meta_url"));
  EXPECT_THAT(read.faults, HasSubstr("size"));
}

// --------------------------------------------------------------------- 1.5: what is taken

TEST(Interpret, AnEmptyServerIsTheDefault) {
  EXPECT_EQ(Read(With(kGemma, {"-s="})).contract.server, Server::kMaxText);
  EXPECT_EQ(Read(With(kGemma, {"-s="})).faults, "");
}

TEST(Interpret, TheFamilysCaseDoesNotMatter) {
  for (const std::string path : {"GOOGLE/GEMMA/maxtext/7b-it/2", "google/Gemma/maxtext/7b-it/2"})
    EXPECT_EQ(Read({"-b=bkt", "-m=" + path}).contract.family, "gemma") << path;
  for (const std::string path : {"llama3.1-8b", "LLAMA3.1-8B"})
    EXPECT_EQ(Read(With(kLlama, {"-m=" + path})).contract.model, "llama3.1-8b") << path;
}

TEST(Interpret, TheNameTellsTheFamilyOfAPathThatDoesNot) {
  const Reading read = Read(With(kLlama, {"-m=/models/mine-8b"}));
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(read.contract.family, "llama");
  EXPECT_EQ(read.contract.model, "llama3.1-8b");
}

TEST(Interpret, AMissingNameComesFromThePath) {
  const Reading read = Read(Without(kLlama, "-n"));
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(read.contract.model_name, "llama-3.1");
  EXPECT_THAT(read.contract.notices, ElementsAre(HasSubstr("llama-3.1 is taken from")));
}

TEST(Interpret, TheNameCountsWhereThePathNamesAnother) {
  const Reading read = Read(With(Without(kLlama, "-n"), {"-n=llama-3"}));
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(read.contract.model, "llama3-8b");
  EXPECT_THAT(read.contract.warnings, ElementsAre(HasSubstr("the name counts")));
}

TEST(Interpret, AGemmasPathOverrulesTheName) {
  const Contract contract = Read(With(kGemma, {"-n=llama-2"})).contract;
  EXPECT_EQ(contract.family, "gemma");
  EXPECT_THAT(contract.warnings, ElementsAre(HasSubstr("--model_name llama-2 has no effect")));
  EXPECT_THAT(Read(With(kGemma, {"-n=gemma"})).contract.warnings, IsEmpty());
}

TEST(Interpret, ATypeWithoutWeightsIsAWarning) {
  for (const Strings& arguments : {With(kLlama, {"-t=int8"}), With(kLlama, {"-t=int8", "-q=False"}),
                                   With(kPytorch, {"-t=int8_per_channel"})}) {
    const Reading read = Read(arguments);
    EXPECT_EQ(read.faults, "");
    EXPECT_EQ(read.contract.quantize, "");
    EXPECT_THAT(read.contract.warnings, ElementsAre(HasSubstr("--quantize_type")));
  }
}

TEST(Interpret, PytorchQuantizesPerChannelByDefault) {
  EXPECT_EQ(Read(With(kPytorch, {"-q=true"})).contract.quantize, "int8_per_channel");
  for (const std::string type :
       {"int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"})
    EXPECT_EQ(Read(With(kPytorch, {"-q=1", "-t=" + type})).contract.quantize, type);
}

TEST(Interpret, PytorchTakesFamiliesByTheirOwnNames) {
  // One that the original does not know, but a table of models/ has.
  const Reading read = Read(With(kPytorch, {"-n=llama"}));
  EXPECT_EQ(read.faults, "");
  EXPECT_EQ(read.contract.family, "llama");
  EXPECT_EQ(Read(With(kPytorch, {"-n=gemma"})).contract.family, "gemma");
  EXPECT_EQ(Read(With(kPytorch, {"-n=llama-3"})).contract.family, "llama");
}

TEST(Interpret, PytorchWithoutANameIsALlamaAndSaysSo) {
  const Contract contract = Read(With(Without(kPytorch, "-m"), {"-m=/models/gemma"})).contract;
  EXPECT_EQ(contract.family, "llama");
  EXPECT_THAT(contract.warnings, ElementsAre(HasSubstr("taken for a Llama")));
}

TEST(Interpret, PytorchNeedsNoBucket) {
  EXPECT_EQ(Read(kPytorch).contract.bucket, "");
  EXPECT_EQ(Read(With(kPytorch, {"-b=bkt"})).faults, "");
}

TEST(Interpret, TheBucketMayHaveItsSchemeAndSlashes) {
  for (const std::string bucket : {"gs://bkt", "gs://bkt/", "bkt/", "gs:///bkt//"}) {
    const Reading read = Read(With(kGemma, {"-b=" + bucket}));
    EXPECT_EQ(read.faults, "") << bucket;
    EXPECT_EQ(read.contract.bucket, "bkt") << bucket;
    EXPECT_EQ(Places(read.contract), Places(Read(kGemma).contract)) << bucket;
    EXPECT_THAT(read.contract.warnings,
                Contains(HasSubstr("--bucket_name " + bucket + " is read as bkt")));
  }
}

// --------------------------------------------------------------------- booleans

TEST(Interpret, EveryBooleanIsFalseUntilItIsGiven) {
  const auto states = [](const Contract& contract) {
    return std::vector<bool>{contract.is_explaining, contract.is_dry_run, contract.is_overwriting,
                             contract.keeps_base};
  };
  EXPECT_EQ(states(Read(kGemma).contract), std::vector<bool>(4, false));
  const Strings names = {"--explain", "--dry_run", "--overwrite", "--keep_base"};
  for (size_t i = 0; i < names.size(); ++i) {
    std::vector<bool> expected(4, false);
    expected[i] = true;
    EXPECT_EQ(states(Read(With(kGemma, {names[i]})).contract), expected) << names[i];
    EXPECT_EQ(states(Read(With(kGemma, {names[i] + "=YES"})).contract), expected) << names[i];
    EXPECT_EQ(states(Read(With(kGemma, {names[i] + "=no"})).contract), std::vector<bool>(4, false));
  }
}

TEST(Interpret, QuantizingTakesEveryWordForTrue) {
  for (const std::string word : {"True", "true", "1", "yes", "on", "T"})
    EXPECT_EQ(Read(With(kLlama, {"-t=int8", "-q=" + word})).contract.quantize, "int8") << word;
  for (const std::string word : {"False", "false", "0", "no", "off", ""})
    EXPECT_EQ(Read(With(kLlama, {"-t=int8", "-q=" + word})).contract.quantize, "") << word;
}

TEST(Interpret, KeepingABaseNeedsADownloadFromKaggle) {
  EXPECT_THAT(Read(With(kGemma, {"--keep_base"})).contract.warnings, IsEmpty());
  EXPECT_THAT(Read(With(kLlama, {"--keep_base"})).contract.warnings,
              ElementsAre(HasSubstr("--keep_base has no effect")));
}

TEST(Interpret, PassesOnWhatTheWordsSaid) {
  const Contract contract = Read(With(kGemma, {"stray", "-i=jetstream-maxtext"})).contract;
  EXPECT_THAT(contract.warnings, ElementsAre(HasSubstr("stray")));
  EXPECT_THAT(contract.notices, ElementsAre(HasSubstr("--inference_server")));
}

}  // namespace
}  // namespace ckpt::contract

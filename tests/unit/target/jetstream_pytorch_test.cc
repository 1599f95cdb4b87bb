#include <gtest/gtest.h>

#include "target/jetstream_pytorch/params_json.h"
#include "target/jetstream_pytorch/target.h"
#include "tests/unit/run/tiny_llama.h"
#include "tests/unit/source/memory_store.h"

namespace ckpt {
namespace {

TEST(DumpLikePython, WritesWhatJsonDumpsWrites) {
  EXPECT_EQ(*DumpLikePython("{\"dim\":128,\n \"norm_eps\":1e-05,\"x\":[1,2.5,true,null],\"n\":{}}"),
            R"({"dim": 128, "norm_eps": 1e-05, "x": [1, 2.5, true, null], "n": {}})");
  EXPECT_EQ(*DumpLikePython("{\"b\": 1, \"a\": \"\xc3\xbc\\\"\"}"),
            "{\"b\": 1, \"a\": \"\\u00fc\\\"\"}")
      << "keys keep their order, other letters are escaped";
  EXPECT_FALSE(DumpLikePython("{\"dim\": "));
}

TEST(JetstreamPytorchTarget, TakesForAMarkerWhatTheServerWouldLoad) {
  const JetstreamPytorchTarget target;
  EXPECT_TRUE(target.IsMarker("model.safetensors"));
  EXPECT_TRUE(target.IsMarker("model-00001-of-00002.safetensors"));
  EXPECT_TRUE(target.IsMarker("model.safetensors.index.json"));
  EXPECT_FALSE(target.IsMarker("model.safetensors.part"));
  EXPECT_FALSE(target.IsMarker("original/model.safetensors"));
}

TEST(JetstreamPytorchTarget, LaysArraysOutAsTheReferenceWriterSorts) {
  const auto store = std::make_shared<MemoryStore>();
  TinyLlama{}.WriteTo(*store);
  const auto plan = MakeTinyPlan(store, {"int8_per_channel"});
  ASSERT_TRUE(plan) << plan.error().Print();
  const FileSpec& file = plan->output.files.front();
  for (size_t i = 1; i < file.arrays.size(); ++i) {
    const ArraySpec& before = plan->output.arrays[file.arrays[i - 1]];
    const ArraySpec& after = plan->output.arrays[file.arrays[i]];
    EXPECT_TRUE(before.dtype > after.dtype ||
                (before.dtype == after.dtype && before.name < after.name))
        << after.name;
    EXPECT_EQ(file.offsets[i], file.offsets[i - 1] + plan->arrays[file.arrays[i - 1]].size_bytes)
        << "no gap";
  }
  EXPECT_EQ(file.header.size() % 8, 0U);
}

TEST(JetstreamPytorchTarget, NeverPreservesADtypeAndQuantizes) {
  const auto store = std::make_shared<MemoryStore>();
  TinyLlama{}.WriteTo(*store);
  const auto plan = MakeTinyPlan(store, {});
  ASSERT_TRUE(plan);
  const auto output = JetstreamPytorchTarget().Describe(plan->model, plan->catalog, {},
                                                        {"int8_blockwise", true, ""});
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, Code::kUsage);
}

}  // namespace
}  // namespace ckpt

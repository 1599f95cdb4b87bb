#include "cli/chunked_arguments.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace ckpt {
namespace {

Arguments Good() {
  Arguments arguments;
  arguments.source = "in";
  arguments.destination = "/folder/out";
  arguments.target = "maxtext";
  arguments.outputs = "scanned,int8";
  return arguments;
}

TEST(ParseChunked, TakesOutputsInTheOrderGivenAndOnceEach) {
  Arguments arguments = Good();
  arguments.outputs = "int8,scanned,int8";
  const auto settings = ParseSettings(arguments);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->chunked_settings.outputs, (std::vector<std::string>{"int8", "scanned"}));
  EXPECT_EQ(settings->destination, "/folder/out");
}

TEST(ParseChunked, NamesEverythingThatIsWrongAtOnce) {
  Arguments arguments = Good();
  arguments.outputs = "scaned";
  arguments.dtype = "half";
  arguments.compression = "lz4";
  arguments.orbax_layout = "zarr9";
  arguments.quant_layout = "flax";
  arguments.rope_layout = "quarter";
  arguments.mesh = "data=4";
  const auto settings = ParseSettings(arguments);
  ASSERT_FALSE(settings);
  EXPECT_EQ(settings.error().code, Code::kUsage);
  EXPECT_EQ(settings.error().details.size(), 7U) << settings.error().Print();
  EXPECT_NE(settings.error().remedy.find("did you mean scanned?"), std::string::npos);
}

TEST(ParseChunked, AsksForOutputs) {
  Arguments arguments = Good();
  arguments.outputs = "";
  EXPECT_FALSE(ParseSettings(arguments));
}

TEST(ParseChunked, RefusesTheOptionsOfTheOtherKindOfTarget) {
  Arguments arguments = Good();
  arguments.quantize = "int8_per_channel";
  EXPECT_FALSE(ParseSettings(arguments));
  arguments = Good();
  arguments.target = "jetstream-pytorch";
  const auto settings = ParseSettings(arguments);
  ASSERT_FALSE(settings);
  EXPECT_NE(settings.error().what.find("--outputs"), std::string::npos);
}

TEST(ParseChunked, AnOutputElsewhereMovesTheRootUpToWhatAllHaveInCommon) {
  Arguments arguments = Good();
  arguments.output_paths = {"int8=/folder/served/model"};
  const auto settings = ParseSettings(arguments);
  ASSERT_TRUE(settings) << settings.error().Print();
  EXPECT_EQ(settings->destination, "/folder");
  EXPECT_EQ(settings->chunked_settings.default_root, "out");
  EXPECT_EQ(settings->chunked_settings.roots.at("int8"), "served/model");
  arguments.output_paths = {"int8=/folder/out/q"};
  const auto inside = ParseSettings(arguments);
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->destination, "/folder/out");
  EXPECT_EQ(inside->chunked_settings.default_root, "");
  EXPECT_EQ(inside->chunked_settings.roots.at("int8"), "q");
}

TEST(ParseChunked, RefusesAPlaceForAnOutputThatIsNotAskedFor) {
  for (const char* word : {"fp8=/x", "int8", "int8=", "int8=gs://bucket/x"}) {
    Arguments arguments = Good();
    arguments.output_paths = {word};
    EXPECT_FALSE(ParseSettings(arguments)) << word;
  }
}

TEST(ParseMesh, TellsWhichAxesTheDevicesCut) {
  const auto mesh = ParseMesh("fsdp=16,tensor=4,expert=8");
  ASSERT_TRUE(mesh);
  EXPECT_EQ(*mesh, (Mesh{{"e", 16}, {"h", 4}, {"k", 4}, {"f", 4}, {"v", 4}, {"x", 8}}));
  EXPECT_TRUE(ParseMesh("")->empty());
  for (const char* text :
       {"fsdp", "fsdp=", "fsdp=0", "fsdp=-1", "fsdp=2x", "data=4", "fsdp=2,", ","})
    EXPECT_FALSE(ParseMesh(text)) << text;
}

}  // namespace
}  // namespace ckpt

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "format/safetensors/header.h"
#include "tests/data.h"
#include "tests/read_file.h"
#include "tests/unit/format/error_of.h"

namespace ckpt::safetensors {
namespace {

using ::testing::HasSubstr;

// What a decoded header says, ready to be encoded again.
std::vector<TensorSpec> Specs(const Header& header) {
  std::vector<TensorSpec> specs;
  specs.reserve(header.tensors.size());
  for (const Tensor& tensor : header.tensors)
    specs.push_back({tensor.name, tensor.dtype, tensor.shape});
  return specs;
}

TEST(SafetensorsEncode, WritesCompactJsonPaddedToEightBytes) {
  const auto header = EncodeHeader({{"w", DType::kBF16, {2, 3}}}, Metadata{{"format", "pt"}});
  ASSERT_TRUE(header);
  const std::string json =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]}})";
  const std::string padded = json + std::string((8 - json.size() % 8) % 8, ' ');
  EXPECT_EQ(header->bytes,
            std::string(1, static_cast<char>(padded.size())) + std::string(7, '\0') + padded);
  EXPECT_EQ(header->data_bytes, 12U);
}

TEST(SafetensorsEncode, PutsWideTypesFirstThenNamesByteWise) {
  const auto header = EncodeHeader({{"b", DType::kU8, {1}},
                                    {"a", DType::kI8, {1}},
                                    {"z", DType::kF32, {1}},
                                    {"B", DType::kF32, {1}},
                                    {"\xc3\xa9", DType::kF32, {1}},
                                    {"u", DType::kU64, {1}}},
                                   std::nullopt);
  ASSERT_TRUE(header);
  std::string order;
  for (const Tensor& tensor : header->tensors) order += tensor.name + " ";
  EXPECT_EQ(order, "u B z \xc3\xa9 a b ");
}

TEST(SafetensorsEncode, GivesEachTensorTheBytesThatFollowTheOneBefore) {
  const auto header =
      EncodeHeader({{"a", DType::kF32, {3}}, {"b", DType::kF32, {0}}, {"c", DType::kF4, {2}}}, {});
  ASSERT_TRUE(header);
  EXPECT_EQ(header->tensors[0].data, (ByteRange{0, 12}));
  EXPECT_EQ(header->tensors[1].data, (ByteRange{12, 12}));
  EXPECT_EQ(header->tensors[2].data, (ByteRange{12, 13}));
  EXPECT_EQ(header->data_bytes, 13U);
}

TEST(SafetensorsEncode, RefusesWhatNoReaderCouldTake) {
  const auto text = [](std::vector<TensorSpec> specs) {
    return ErrorText(EncodeHeader(std::move(specs), {}));
  };
  EXPECT_THAT(text({{"a", DType::kU8, {1}}, {"a", DType::kI8, {1}}}), HasSubstr("appears twice"));
  EXPECT_THAT(text({{"a", DType::kQ8_0, {32}}}), HasSubstr("no dtype Q8_0"));
  EXPECT_THAT(text({{"__metadata__", DType::kU8, {1}}}), HasSubstr("__metadata__"));
  EXPECT_THAT(text({{"\xff", DType::kU8, {1}}}), HasSubstr("UTF-8"));
  EXPECT_THAT(text({{"a", DType::kF4, {3}}}), HasSubstr("inside a byte"));
  EXPECT_THAT(text({{"a", DType::kU8, {UINT64_MAX, 2}}}), HasSubstr("overflows"));
}

TEST(SafetensorsEncode, ReproducesTheReferenceWritersHeadersByteForByte) {
  int checked = 0;
  const std::filesystem::path folder = TestData() / "golden/jetstream-pytorch";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const std::string bytes = ReadFile(entry.path());
    const auto length = DecodeHeaderLength(bytes, bytes.size());
    ASSERT_TRUE(length) << ErrorText(length);
    const auto header =
        DecodeHeader(std::string_view(bytes).substr(kLengthBytes, *length), bytes.size());
    ASSERT_TRUE(header) << entry.path() << ErrorText(header);
    std::vector<TensorSpec> specs = Specs(*header);
    std::reverse(specs.begin(), specs.end());  // the order of the input must not matter
    const auto encoded = EncodeHeader(std::move(specs), header->metadata);
    ASSERT_TRUE(encoded) << ErrorText(encoded);
    EXPECT_EQ(encoded->bytes, bytes.substr(0, kLengthBytes + *length)) << entry.path();
    EXPECT_EQ(encoded->tensors, header->tensors) << entry.path();
    ++checked;
  }
  EXPECT_GT(checked, 15);
}

TEST(SafetensorsEncode, IsUndoneByTheDecoder) {
  const std::vector<TensorSpec> specs = {
      {"", DType::kF32, {}},
      {"a/../b\n\"\\", DType::kBool, {0, 7}},
      {"\xf0\x9f\x98\x80", DType::kF6E2M3, {4, 1}},
      {"long" + std::string(1000, 'x'), DType::kI64, {1, 1, 1, 1, 1, 1, 1, 1, 2}}};
  const Metadata metadata = {{"format", "pt"}, {"note", "\t\xc3\xa9"}};
  const auto encoded = EncodeHeader(specs, metadata);
  ASSERT_TRUE(encoded);
  const auto header = DecodeHeader(std::string_view(encoded->bytes).substr(kLengthBytes),
                                   encoded->bytes.size() + encoded->data_bytes);
  ASSERT_TRUE(header) << ErrorText(header);
  EXPECT_EQ(header->metadata, metadata);
  // The decoder orders by place, the encoder writes in that order; empty tensors share theirs with
  // a neighbour.
  EXPECT_TRUE(std::is_permutation(header->tensors.begin(), header->tensors.end(),
                                  encoded->tensors.begin()));
  EXPECT_EQ(EncodeHeader(Specs(*header), header->metadata)->bytes, encoded->bytes);
}

}  // namespace
}  // namespace ckpt::safetensors

#include "store/archive/unpack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/message_digest.h"
#include "tests/store/archive/archives.h"
#include "tests/store/file_size_limit.h"

namespace ckpt {
namespace {

using testing::HasSubstr;

const std::string kTwoFiles = TarHeader("./", 0, '5') + TarHeader("./7b-it/", 0, '5') +
                              TarFile("./7b-it/manifest", "manifest") +
                              TarFile("tokenizer.model", std::string(1000, 't')) +
                              TarFile("7b-it/d/empty", "") + TarEnd();
const Files kTwoFilesMade = {{"7b-it/manifest", "manifest"},
                             {"tokenizer.model", std::string(1000, 't')},
                             {"7b-it/d/empty", ""}};

TEST_F(UnpackFolder, MakesTheFilesOfATarGz) { EXPECT_EQ(Made(Gzipped(kTwoFiles)), kTwoFilesMade); }

TEST_F(UnpackFolder, TakesPlainTar) { EXPECT_EQ(Made(kTwoFiles), kTwoFilesMade); }

TEST_F(UnpackFolder, TakesGzipMembersOneAfterAnotherAndZerosAtTheEnd) {
  const size_t middle = 777;
  EXPECT_EQ(Made(Gzipped(kTwoFiles.substr(0, middle)) + Gzipped(kTwoFiles.substr(middle)) +
                 std::string(5000, '\0')),
            kTwoFilesMade);
}

TEST_F(UnpackFolder, TakesLongNamesAndThoseBeyondAscii) {
  const std::string name = std::string(120, 'n') + "/gr\xc3\xbc\xc3\x9f";
  EXPECT_EQ(Made(PaxRecord("path", name) + TarFile("short", "pax") +
                 TarFile("././@LongLink", std::string(200, 'g') + '\0', 'L') +
                 TarFile("short", "gnu") + TarEnd()),
            (Files{{name, "pax"}, {std::string(200, 'g'), "gnu"}}));
}

TEST_F(UnpackFolder, HoldsTheArchiveToItsSums) {
  const std::string archive = Gzipped(kTwoFiles);
  const auto bytes = std::as_bytes(std::span(archive));
  Md5 md5;
  md5.Update(bytes);
  options_.md5 = md5.Finish();
  TextObject object(archive);
  object.SetCrc32c(Crc32c::Of(bytes));
  EXPECT_TRUE(Run(object));
  options_.md5[3] ^= 1;
  const Result<Unpacked> by_md5 = Run(object);
  ASSERT_FALSE(by_md5);
  EXPECT_EQ(by_md5.error().code, Code::kBadInput);
  EXPECT_THAT(by_md5.error().what, HasSubstr("MD5"));
  object.SetCrc32c(Crc32c(1, archive.size()));
  const Result<Unpacked> by_crc = Run(object);
  ASSERT_FALSE(by_crc);
  EXPECT_EQ(by_crc.error().code, Code::kBadInput);
  EXPECT_THAT(by_crc.error().what, HasSubstr("CRC-32C"));
}

// 64 MiB pass through the buffers that the budget has, and no others.
TEST_F(UnpackFolder, HoldsNoMoreMemoryThanItSays) {
  options_.most_bytes = 128 << 20;
  const std::string zeros(64 << 20, '\0');
  const Result<Unpacked> unpacked = Run(TarFile("a", zeros) + TarEnd());
  ASSERT_TRUE(unpacked) << unpacked.error().Print();
  EXPECT_EQ(unpacked->bytes, zeros.size());
  EXPECT_EQ(budget_.peak_bytes(), UnpackMemoryBytes());
  EXPECT_EQ(budget_.used_bytes(), 0);
  MemoryBudget small(UnpackMemoryBytes() / 2);
  TextObject object(kTwoFiles);
  const auto into = *OpenFileStore(*Uri::Parse(path_ + "2"), {.io_threads = 1});
  const Result<Unpacked> refused = Unpack(object, *into, small, options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kResources);
  EXPECT_EQ(small.used_bytes(), 0);
}

TEST_F(UnpackFolder, SaysThatTheDiskIsFull) {
  const FileSizeLimit limit(4096);
  const Error error = Refused(Gzipped(TarFile("big", std::string(300'000, 'x')) + TarEnd()));
  EXPECT_EQ(error.code, Code::kCannotCreate);
  EXPECT_THAT(error.what, HasSubstr("needed"));
  EXPECT_THAT(error.remedy, HasSubstr("--scratch"));
  EXPECT_EQ(PlaceOf(error, "member"), "big");
  EXPECT_EQ(FilesIn(path_), Files());
}

TEST_F(UnpackFolder, EndsWhenItIsStopped) {
  std::stop_source stop;
  stop.request_stop();
  options_.stop = stop.get_token();
  EXPECT_EQ(Refused(kTwoFiles).code, Code::kInterrupted);
}

}  // namespace
}  // namespace ckpt

// Archives that are damaged, or mean harm: each ends in one clear error, within memory, and below
// its folder.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/archive/tar_reader.h"
#include "store/archive/unpack.h"
#include "tests/store/archive/archives.h"

namespace ckpt {
namespace {

using testing::HasSubstr;

class HostileArchive : public UnpackFolder {
 protected:
  // Refused as a bad source, with the byte that was reached, and nothing beside the folder.
  Error BadArchive(const std::string& archive) {
    Error error = Refused(archive);
    EXPECT_EQ(error.code, Code::kBadInput) << error.Print();
    EXPECT_FALSE(PlaceOf(error, "byte").empty()) << error.Print();
    for (const auto& [name, text] : FilesIn(folder_.path())) EXPECT_TRUE(name.starts_with("into/"));
    return error;
  }
};

TEST_F(HostileArchive, LeadsNowhereElse) {
  for (const std::string name :
       {"/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "C:x", "a\\b", "..", "./../x", "/"}) {
    const Error error = BadArchive(Gzipped(TarFile(name, "x") + TarEnd()));
    EXPECT_EQ(PlaceOf(error, "member"), name == "/" ? "/" : name);
  }
  EXPECT_THAT(BadArchive(TarHeader("../x/", 0, '5') + TarEnd()).what, HasSubstr("leads elsewhere"));
  EXPECT_THAT(BadArchive(PaxRecord("path", std::string(2000, 'n')) + TarFile("a", "x")).what,
              HasSubstr("more than 1024"));
}

TEST_F(HostileArchive, HoldsFilesAndFoldersOnly) {
  const std::map<char, std::string> kinds = {{'1', "a hard link"},
                                             {'2', "a symbolic link"},
                                             {'3', "a device"},
                                             {'4', "a device"},
                                             {'6', "a pipe"}};
  for (const auto& [type, words] : kinds) {
    const Error error =
        BadArchive(TarFile("good", "x") + TarHeader("d/bad", 0, type, "/etc/passwd") + TarEnd());
    EXPECT_THAT(error.what, HasSubstr(words));
    EXPECT_EQ(PlaceOf(error, "member"), "d/bad");
  }
}

TEST_F(HostileArchive, HasNoSparseFiles) {
  // Of GNU's old form: a map of one stretch of 512 bytes at 4096, in a file of 8192.
  std::string header = TarHeader("sparse", 512, 'S');
  header.replace(257, 8, std::string("ustar  \0", 8));
  header.replace(386, 24, fmt::format("{:011o}", 4096) + '\0' + fmt::format("{:011o}", 512) + '\0');
  header.replace(483, 12, fmt::format("{:011o}", 8192) + '\0');
  header.replace(148, 8, "        ");
  unsigned sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  header.replace(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  EXPECT_THAT(BadArchive(header + std::string(512, 'x') + TarEnd()).what,
              HasSubstr("a sparse file"));
}

TEST_F(HostileArchive, NamesNothingTwice) {
  EXPECT_THAT(BadArchive(TarFile("a", "1") + TarFile("./a", "2") + TarEnd()).what,
              HasSubstr("twice"));
  EXPECT_THAT(BadArchive(TarFile("a", "1") + TarFile("a/b", "2") + TarEnd()).what,
              HasSubstr("\"a\" as a file too"));
  EXPECT_THAT(BadArchive(TarFile("a/b", "1") + TarFile("a", "2") + TarEnd()).what,
              HasSubstr("twice"));
}

TEST_F(HostileArchive, HoldsNoMoreBytesThanItMay) {
  const std::string bomb = Gzipped(TarFile("zeros", std::string(20 << 20, '\0')) + TarEnd());
  ASSERT_LT(bomb.size(), 100'000);
  for (const std::string& archive :
       {bomb,
        Gzipped(TarFile("a", std::string(700'000, 'a')) + TarFile("b", std::string(700'000, 'b'))),
        // What follows the end counts too.
        Gzipped(TarFile("a", "a") + TarEnd() + std::string(2 << 20, '\0'))}) {
    const Error error = BadArchive(archive);
    EXPECT_THAT(error.what, HasSubstr("more than the 1048576 bytes"));
    EXPECT_THAT(error.remedy, HasSubstr("--max-archive-bytes"));
  }
  // A size that no disk has, by its digits alone.
  const std::string huge(11, '7');
  EXPECT_THAT(BadArchive(TarHeader("a", 0, '0', "", huge) + TarEnd()).what,
              HasSubstr("more than the"));
  EXPECT_EQ(FilesIn(path_), Files());
  const std::string beyond("\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
  BadArchive(TarHeader("a", 0, '0', "", beyond) + TarEnd());
}

TEST_F(HostileArchive, HasNoMoreMembersThanItMay) {
  std::string archive;
  for (int i = 0; i < 101; ++i) archive += TarFile(fmt::format("f{}", i), "");
  EXPECT_THAT(BadArchive(archive + TarEnd()).what, HasSubstr("more than 100 members"));
  archive.clear();
  for (int i = 0; i < 101; ++i) archive += TarHeader(fmt::format("d{}/", i), 0, '5');
  EXPECT_THAT(BadArchive(archive + TarEnd()).what, HasSubstr("more than 100 members"));
}

TEST_F(HostileArchive, HasNoLargeHeaders) {
  const std::string record = PaxRecord("comment", std::string(900'000, 'c'));
  EXPECT_THAT(BadArchive(record + TarFile("a", "x") + TarEnd()).what,
              HasSubstr("headers of one member"));
  // A map of a sparse file of a million stretches, which libarchive would hold as a list.
  std::string map = "500000\n";
  for (int i = 0; i < 200'000; ++i) map += "0\n0\n";
  options_.most_bytes = 4 << 20;
  EXPECT_THAT(BadArchive(TarFile("pax",
                                 "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"
                                 "21 GNU.sparse.name=a\n",
                                 'x') +
                         TarFile("a", map) + TarEnd())
                  .what,
              HasSubstr("headers of one member"));
}

// Wherever it ends: gzip tells its end, so no prefix passes for the whole.
TEST_F(HostileArchive, IsNotTakenWhereItIsCutOff) {
  const std::string archive =
      Gzipped(TarFile("a", "some text") + TarFile("b", "other text") + TarEnd());
  for (size_t size = 0; size < archive.size(); ++size) {
    const Error error = BadArchive(archive.substr(0, size));
    if (size > 2) {
      EXPECT_THAT(error.what, HasSubstr("cut off")) << size;
    }
    EXPECT_LE(std::stoull(PlaceOf(error, "byte")), size);
  }
  const std::string plain = TarFile("a", std::string(600, 'a'));
  for (const size_t size : {size_t{300}, size_t{513}, size_t{1000}})
    EXPECT_THAT(BadArchive(plain.substr(0, size)).what, HasSubstr("no whole tar archive"));
}

TEST_F(HostileArchive, IsNotTakenWithAFlippedBit) {
  const std::string archive =
      Gzipped(TarFile("a", "some text") + TarFile("b", "other text") + TarEnd());
  const Files whole = Made(archive);
  for (size_t at = 0; at < archive.size(); ++at) {
    std::string damaged = archive;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    // Some bits of gzip's own header (time, system) say nothing about the content.
    if (Run(damaged)) {
      EXPECT_EQ(FilesIn(path_), whole) << at;
    }
  }
}

TEST_F(HostileArchive, IsSaidToBeNoTar) {
  EXPECT_THAT(BadArchive("").what, HasSubstr("empty"));
  EXPECT_THAT(BadArchive(Gzipped(TarEnd())).what, HasSubstr("no files"));
  EXPECT_THAT(BadArchive(Gzipped("")).what, HasSubstr("no "));
  EXPECT_THAT(BadArchive("PK\x03\x04 and so on").what, HasSubstr("zip"));
  EXPECT_THAT(BadArchive(std::string(2000, 'x')).what, HasSubstr("no whole tar archive"));
  EXPECT_THAT(BadArchive(Gzipped(TarFile("a", "x") + TarEnd()) + "more").what,
              HasSubstr("no gzip"));
}

}  // namespace
}  // namespace ckpt

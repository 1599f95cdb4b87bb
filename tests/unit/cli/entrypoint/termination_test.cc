#include "cli/entrypoint/termination.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/text.h"
#include "tests/read_file.h"
#include "tests/store/temp_folder.h"

namespace ckpt::contract {
namespace {

TEST(CutForTermination, LeavesWhatFits) {
  for (const size_t size : {size_t{0}, size_t{1}, kMostTerminationBytes - 1, kMostTerminationBytes})
    EXPECT_EQ(CutForTermination(std::string(size, 'a')), std::string(size, 'a'));
}

TEST(CutForTermination, EndsWhatIsTooLongWithDots) {
  const std::string cut = CutForTermination(std::string(kMostTerminationBytes + 1, 'a'));
  EXPECT_EQ(cut, std::string(kMostTerminationBytes - 4, 'a') + "...\n");
}

TEST(CutForTermination, NeverCutsInsideACharacter) {
  for (const std::string character : {"\xc3\xa4", "\xe6\xa8\xa1", "\xf0\x9f\x90\xb3"}) {
    for (size_t shift = 0; shift < 4; ++shift) {
      std::string text(shift, 'a');
      while (text.size() < kMostTerminationBytes + 100) text += character;
      const std::string cut = CutForTermination(text);
      EXPECT_EQ(FirstInvalidUtf8(cut), std::string::npos) << character << shift;
      EXPECT_LE(cut.size(), kMostTerminationBytes);
      EXPECT_GT(cut.size(), kMostTerminationBytes - character.size());
      EXPECT_TRUE(text.starts_with(cut.substr(0, cut.size() - 4)));
    }
  }
}

TEST(CutForTermination, StaysInsideWhateverTheBytesAre) {
  EXPECT_LE(CutForTermination(std::string(10'000, '\x80')).size(), kMostTerminationBytes);
  EXPECT_LE(CutForTermination(std::string(10'000, '\xff')).size(), kMostTerminationBytes);
}

TEST(LeaveTermination, MakesTheNamedFileOrReplacesItsText) {
  const TempFolder folder;
  const std::string path = folder.path() + "/log";
  LeaveTermination(path, "a long first message");
  EXPECT_EQ(ReadFile(path), "a long first message");
  LeaveTermination(path, "short");
  EXPECT_EQ(ReadFile(path), "short");
  LeaveTermination(path, std::string(5000, 'a'));
  EXPECT_EQ(ReadFile(path).size(), kMostTerminationBytes);
}

TEST(LeaveTermination, ChangesNothingWhereItCannotWrite) {
  const TempFolder folder;
  LeaveTermination(folder.path() + "/no/folder", "text");
  LeaveTermination(folder.path(), "text");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace ckpt::contract

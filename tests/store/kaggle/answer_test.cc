#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/base64.h"
#include "store/kaggle/api.h"
#include "store/kaggle/cache.h"
#include "store/kaggle/signed_file.h"
#include "tests/store/temp_folder.h"

namespace ckpt {
namespace {

namespace fs = std::filesystem;

TEST(KagglePage, ReadsNamesSizesAndTheNextPage) {
  const Result<KagglePage> page = ParseKagglePage(R"({"files":[
      {"name":"7b-it/manifest.ocdbt","size":118,"creationDate":"2024-02-21"},
      {"name":"tokenizer.model","size":"4241003","creationDate":"x"},
      {"name":"empty","creationDate":"x"}],"nextPageToken":"abc"})");
  ASSERT_TRUE(page) << page.error().Print();
  ASSERT_EQ(page->files.size(), 3);
  EXPECT_EQ(page->files[0].name, "7b-it/manifest.ocdbt");
  EXPECT_EQ(page->files[0].size_bytes, 118);
  EXPECT_EQ(page->files[1].size_bytes, 4241003);
  EXPECT_EQ(page->files[2].size_bytes, 0);
  EXPECT_EQ(page->next, "abc");
  EXPECT_EQ(ParseKagglePage("{}")->files.size(), 0);
}

TEST(KagglePage, RefusesWhatIsNoListing) {
  for (const char* text :
       {"", "[]", R"({"files":{}})", R"({"files":[1]})", R"({"files":[{"name":"../x","size":1}]})",
        R"({"files":[{"name":"x","size":-1}]})", R"({"files":[{"size":1}]})",
        R"({"files":[{"name":"x","size":"many"}]})"})
    EXPECT_FALSE(ParseKagglePage(text)) << text;
}

TEST(GoogHash, ReadsOneHeaderOrSeveral) {
  const GoogHash one =
      ParseGoogHash({{"X-Goog-Hash", "crc32c=4waSgw==,md5=JfnnlDI7RTiF9RgfG2JNCw=="}});
  EXPECT_EQ(one.crc32c, 0xE3069283U);
  EXPECT_EQ(one.md5, "JfnnlDI7RTiF9RgfG2JNCw==");
  EXPECT_EQ(ParseGoogHash({{"x-goog-hash", "crc32c=4waSgw=="},
                           {"x-goog-hash", "md5=JfnnlDI7RTiF9RgfG2JNCw=="}}),
            one);
  EXPECT_EQ(ParseGoogHash({}), GoogHash());
  EXPECT_EQ(ParseGoogHash({{"x-goog-hash", "crc32c=!!"}}), GoogHash());
}

TEST(Base64Text, IsThatOfRfc4648) {
  for (const auto& [text, encoded] :
       {std::pair{"", ""}, std::pair{"f", "Zg=="}, std::pair{"fo", "Zm8="},
        std::pair{"foo", "Zm9v"}, std::pair{"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(EncodeBase64(text), encoded);
    EXPECT_EQ(DecodeBase64(encoded), text);
  }
  for (const char* bad : {"Zg", "Zg=", "Z===", "Zg==Zg==", "Zm9-", "Zh=="})
    EXPECT_FALSE(DecodeBase64(bad)) << bad;
}

TEST(KaggleCache, HasOnlyWholeVersions) {
  const TempFolder folder;
  const fs::path variation = fs::path(folder.path()) / "models/google/gemma/MaxText/7b-it";
  for (const char* version : {"1", "2", "3"}) fs::create_directories(variation / version);
  std::ofstream(variation / "1.complete") << "";
  std::ofstream(variation / "2.complete") << "";
  const auto find = [&](const char* handle) {
    return FindInKaggleCache(folder.path(), *KaggleHandle::Parse(handle));
  };
  EXPECT_EQ(find("google/gemma/maxtext/7b-it/1"), (variation / "1").string());
  EXPECT_EQ(find("google/gemma/maxtext/7b-it/3"), std::nullopt);
  EXPECT_EQ(find("google/gemma/maxtext/7b-it"), (variation / "2").string());
  EXPECT_EQ(find("google/gemma/flax/7b-it/1"), std::nullopt);
  EXPECT_EQ(find("google/none/flax/7b-it/1"), std::nullopt);
}

}  // namespace
}  // namespace ckpt

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/meta/checklist.h"
#include "store/meta/explain.h"
#include "store/meta/folders.h"
#include "store/meta/stream_window.h"

namespace ckpt {
namespace {

TEST(MetaFolders, AreThoseOfTheLinks) {
  struct Row {
    const char* id;
    const char* folder;
  };
  for (const Row& row : {
           Row{"Llama-2-7b", "llama-2-7b"},
           Row{"llama-2-13b-chat", "llama-2-13b-chat"},
           Row{"meta-llama/Llama-2-70b-chat-hf", "llama-2-70b-chat"},
           Row{"Meta-Llama-3-8B", "Meta-Llama-3-8B"},
           Row{"Llama3-70B-Instruct", "Meta-Llama-3-70B-Instruct"},
           Row{"Llama-3-8B-Instruct/", "Meta-Llama-3-8B-Instruct"},
           Row{"Llama3.1-8B", "Meta-Llama-3.1-8B"},
           Row{"meta-llama/Llama-3.1-70B-Instruct", "Meta-Llama-3.1-70B-Instruct"},
           Row{"Llama3.3-70B-Instruct", "Llama-3.3-70B-Instruct"},
           Row{"Llama3.2-1B", "Llama-3.2-1B"},
           Row{"Llama3.1-405B", "Meta-Llama-3.1-405B-MP16"},
           Row{"Llama3.1-405B:bf16-mp16", "Meta-Llama-3.1-405B-MP16"},
           Row{"Llama3.1-405B:bf16-mp8", "Meta-Llama-3.1-405B-MP8"},
           Row{"Llama3.1-405B-Instruct:bf16-mp8", "Meta-Llama-3.1-405B-Instruct-MP8"},
           Row{"Meta-Llama-3.1-405B-Instruct-MP16", "Meta-Llama-3.1-405B-Instruct-MP16"},
           Row{"Llama3.1-405B-Instruct:fp8-mp8", "Meta-Llama-3.1-405B-Instruct"},
       }) {
    const Result<MetaFolder> folder = FolderOfModel(row.id);
    ASSERT_TRUE(folder) << row.id << folder.error().Print();
    EXPECT_EQ(folder->folder, row.folder) << row.id;
    EXPECT_EQ(folder->has_root_tokenizer, folder->folder.starts_with("llama-2-")) << row.id;
  }
}

TEST(MetaFolders, RefuseWhatIsNoLlama) {
  for (const char* id : {"", "gemma-7b", "Llama-3", "Llama-4-8B", "Llama-3.1-9B", "Llama-2-7b-x",
                         "Llama-3.3-70B", "../Llama-2-7b/.."}) {
    const Result<MetaFolder> folder = FolderOfModel(id);
    ASSERT_FALSE(folder) << id;
    EXPECT_EQ(folder.error().code, Code::kUsage);
  }
}

TEST(MetaChecklist, IsThatOfMd5sum) {
  const auto sums = ParseChecklist(
      "0123456789abcdef0123456789abcdef  consolidated.00.pth\n"
      "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF *params.json\r\n\n");
  ASSERT_TRUE(sums);
  EXPECT_EQ(sums->size(), 2);
  EXPECT_EQ(sums->at("params.json"), "ffffffffffffffffffffffffffffffff");
  for (const char* bad : {"<html>", "0123  a", "0123456789abcdef0123456789abcdef",
                          "0123456789abcdef0123456789abcdef  ../a"})
    EXPECT_FALSE(ParseChecklist(bad)) << bad;
}

TEST(MetaExplain, NamesAllReasonsOfARefusal) {
  const http::Url url = *http::Url::Parse("https://host/a?Policy=s3cret");
  const Error error = ExplainMeta(url, 403);
  EXPECT_EQ(error.code, Code::kDenied);
  for (const char* words : {"expired", "another family", "downloads"})
    EXPECT_THAT(error.what, testing::HasSubstr(words));
  EXPECT_THAT(error.remedy, testing::HasSubstr("https://www.llama.com/llama-downloads/"));
  EXPECT_EQ(error.Print().find("s3cret"), std::string::npos);
  EXPECT_EQ(ExplainMeta(url, 404).code, Code::kNotFound);
  EXPECT_EQ(ExplainMeta(url, 400).code, Code::kBadInput);
  EXPECT_EQ(ExplainMeta(url, 503).code, Code::kUnavailable);
}

TEST(StreamWindow, HoldsTheLastBytes) {
  StreamWindow window(8);
  window.Restart(100);
  EXPECT_TRUE(window.held().empty());
  const std::string text = "abcdefghijklmnopqrstuvwxyz";
  const auto bytes = std::as_bytes(std::span(text));
  for (size_t at = 0; at < text.size(); at += 3)
    window.Append(bytes.subspan(at, std::min<size_t>(3, text.size() - at)));
  EXPECT_EQ(window.held(), (ByteRange{118, 126}));
  std::string part(6, '\0');
  window.Copy({119, 125}, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "tuvwxy");
  window.Append(bytes);  // more than it holds, at once
  EXPECT_EQ(window.held(), (ByteRange{144, 152}));
  window.Copy({146, 152}, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "uvwxyz");
}

}  // namespace
}  // namespace ckpt

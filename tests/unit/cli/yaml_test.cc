#include "cli/yaml.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace ckpt {
namespace {

using Json = nlohmann::ordered_json;

TEST(YamlString, LeavesPlainWordsBare) {
  for (const char* word : {"Never", "batch/v1", "app.kubernetes.io/name", "ckpt-llama-3", "a_b"})
    EXPECT_EQ(YamlString(word), word);
}

TEST(YamlString, QuotesWhatAReaderWouldTakeForSomethingElse) {
  for (const char* word :
       {"",    "true", "No",   "oN",  "NULL", "y",   "~",  "12", "0x1f", "1e3", ".inf", "8Gi",
        "-",   "--x",  "a: b", "a #", "[a]",  "{a}", "&a", "*a", " a",   "a ",  "a:b",  "x=y",
        "'a'", "!tag", "|",    ">",   "@a",   "%a",  "`a", "<<", "=",    "?",   "a,b",  "1:30"})
    EXPECT_EQ(YamlString(word), '"' + std::string(word) + '"') << word;
}

TEST(YamlString, EscapesWhatAReaderWouldRefuseOrFold) {
  EXPECT_EQ(YamlString("a\"b\\c"), R"("a\"b\\c")");
  EXPECT_EQ(YamlString("line\nbell\a tab\t"), R"("line\x0abell\x07 tab\x09")");
  EXPECT_EQ(YamlString("\x7F"), R"("\x7f")");
  EXPECT_EQ(YamlString("\xC2\x85"), R"("\x85")");        // next line
  EXPECT_EQ(YamlString("\xE2\x80\xA8"), R"("\u2028")");  // line separator
  EXPECT_EQ(YamlString("\xEF\xBB\xBF"), R"("\ufeff")");  // byte order mark
}

TEST(YamlString, KeepsLettersOfEveryScript) {
  for (const char* word : {"modèle", "模型", "🦙"})
    EXPECT_EQ(YamlString(word), '"' + std::string(word) + '"');
}

TEST(YamlComment, StaysOnItsLine) {
  EXPECT_EQ(YamlComment("in /a \"b\""), "# in /a \"b\"\n");
  EXPECT_EQ(YamlComment("a\nb\xE2\x80\xA8"
                        "c\xC2\x85"
                        "d\xFF"),
            "# a\\x0ab\\u2028c\\xc2\\x85d\\xff\n");
}

TEST(PrintYaml, PutsMapsAndListsInBlocksAndKeepsTheOrder) {
  const Json value = {{"z", {{"b", 1}, {"a", true}}},
                      {"list", {{{"name", "x"}, {"inner", {{"k", "v"}}}}, "word", 7}},
                      {"none", Json::object()},
                      {"nothing", Json::array()},
                      {"null", nullptr}};
  EXPECT_EQ(PrintYaml(value),
            "z:\n"
            "  b: 1\n"
            "  a: true\n"
            "list:\n"
            "- name: x\n"
            "  inner:\n"
            "    k: v\n"
            "- word\n"
            "- 7\n"
            "none: {}\n"
            "nothing: []\n"
            "\"null\": null\n");
}

TEST(PrintYaml, ListsInListsStandDeeper) {
  const Json value = {{"rows", Json::array({Json::array({1, 2}), Json::array({3})})}};
  EXPECT_EQ(PrintYaml(value), "rows:\n-\n  - 1\n  - 2\n-\n  - 3\n");
}

}  // namespace
}  // namespace ckpt

#include "cli/entrypoint/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/unit/cli/entrypoint/reading.h"

namespace ckpt::contract {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kUrl = "https://llama.example/*?Policy=PLANTED_a=b&Signature=x%7E_PLANTED__";

struct Parsed {
  Words words;
  std::string faults;
  size_t fault_count = 0;
};
Parsed Parse(const Strings& arguments) {
  Parsed parsed;
  Faults faults;
  parsed.words = ParseWords(arguments, faults);
  parsed.faults = TextOf(faults);
  parsed.fault_count = CountOf(faults);
  return parsed;
}

// --------------------------------------------------------------------- the table of flags

TEST(Flags, TheOriginalsTwelveHaveLettersAndOursHaveNone) {
  std::set<char> letters;
  std::set<std::string_view> names;
  size_t originals = 0;
  for (const FlagInfo& info : Flags()) {
    EXPECT_EQ(&Info(info.flag), &info) << info.name;
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_EQ(info.letters.empty(), !IsOriginal(info.flag)) << info.name;
    for (const char letter : info.letters) EXPECT_TRUE(letters.insert(letter).second) << letter;
    originals += IsOriginal(info.flag) ? 1 : 0;
  }
  EXPECT_EQ(originals, 12U);
  EXPECT_EQ(letters.size(), 14U);  // with -1 and -2 of the first versions
}

TEST(Flags, UsageListsAllOfThem) {
  const std::string text = UsageText("checkpoint_converter.sh");
  for (const FlagInfo& info : Flags())
    EXPECT_THAT(text, HasSubstr("--" + std::string(info.name))) << info.name;
  EXPECT_THAT(text, HasSubstr("-u, --meta_url"));  // the original forgets it
  EXPECT_THAT(text, HasSubstr("Usage: checkpoint_converter.sh "));
}

// --------------------------------------------------------------------- spellings

TEST(ParseWords, TakesEverySpellingOfEveryVersion) {
  for (const Strings& arguments : {Strings{"-b=bkt"},
                                   {"-b", "bkt"},
                                   {"-bbkt"},
                                   {"--bucket_name=bkt"},
                                   {"--bucket_name", "bkt"},
                                   {"--bucket=bkt"},
                                   {"--bucket", "bkt"},
                                   {"--bucket-name=bkt"},
                                   {"--bucket-name", "bkt"},
                                   {"--b=bkt"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.words.Get(Flag::kBucketName), "bkt") << Joined(arguments);
    EXPECT_EQ(parsed.faults, "") << Joined(arguments);
    EXPECT_THAT(parsed.words.warnings, IsEmpty()) << Joined(arguments);
  }
}

TEST(ParseWords, TakesEveryLetterOfEveryVersion) {
  for (const FlagInfo& info : Flags()) {
    if (info.kind == FlagKind::kHelp) continue;
    for (const char letter : info.letters) {
      const Parsed parsed = Parse({std::string("-") + letter + "=1"});
      EXPECT_EQ(parsed.faults, "") << letter;
      if (info.kind == FlagKind::kSecret) {
        EXPECT_EQ(parsed.words.meta_url.Reveal(), "1");
      } else {
        EXPECT_EQ(parsed.words.Get(info.flag), "1") << letter;
      }
    }
  }
}

TEST(ParseWords, WarnsOfAWholeNameBehindOneDash) {
  for (const Strings& arguments : {Strings{"-bucket_name=bkt"}, {"-bucket-name", "bkt"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.words.Get(Flag::kBucketName), "bkt");
    EXPECT_THAT(parsed.words.warnings, ElementsAre(HasSubstr("is read as --bucket_name")));
    EXPECT_EQ(parsed.faults, "");
  }
}

TEST(ParseWords, KeepsAValueWhole) {
  EXPECT_EQ(Parse({"-u=" + kUrl}).words.meta_url.Reveal(), kUrl);
  EXPECT_EQ(Parse({"-u", kUrl}).words.meta_url.Reveal(), kUrl);
  EXPECT_EQ(Parse({"--meta_url=" + kUrl}).words.meta_url.Reveal(), kUrl);
  EXPECT_EQ(Parse({"-m=a=b&c*d%e"}).words.Get(Flag::kModelPath), "a=b&c*d%e");
}

TEST(ParseWords, StripsOneEqualsSignBehindALetterOnly) {
  EXPECT_EQ(Parse({"-b==x"}).words.Get(Flag::kBucketName), "=x");
  EXPECT_EQ(Parse({"-b", "=x"}).words.Get(Flag::kBucketName), "=x");
  EXPECT_EQ(Parse({"--bucket_name==x"}).words.Get(Flag::kBucketName), "=x");
}

TEST(ParseWords, StripsBlanksAtBothEnds) {
  EXPECT_EQ(Parse({"-b= bkt"}).words.Get(Flag::kBucketName), "bkt");  // of GKE's documentation
  EXPECT_EQ(Parse({"-b", "\t bkt \n"}).words.Get(Flag::kBucketName), "bkt");
  EXPECT_EQ(Parse({"-m=a b"}).words.Get(Flag::kModelPath), "a b");
}

TEST(ParseWords, StripsOnePairOfQuotesWithAWarning) {
  for (const std::string word : {"--bucket_name=\"bkt\"", "--bucket_name='bkt'", "-b= \"bkt\" "}) {
    const Parsed parsed = Parse({word});
    EXPECT_EQ(parsed.words.Get(Flag::kBucketName), "bkt") << word;
    EXPECT_THAT(parsed.words.warnings, ElementsAre(HasSubstr("quotes"))) << word;
  }
  EXPECT_EQ(Parse({"-b=\"\"bkt\"\""}).words.Get(Flag::kBucketName), "\"bkt\"");
  for (const std::string value : {"\"bkt", "bkt'", "\"bkt'", "\""}) {
    const Parsed parsed = Parse({"-b=" + value});
    EXPECT_EQ(parsed.words.Get(Flag::kBucketName), value);
    EXPECT_THAT(parsed.words.warnings, IsEmpty()) << value;
  }
}

TEST(ParseWords, TakesAnEmptyValueAsNotGiven) {
  for (const Strings& arguments :
       {Strings{"--bucket_name="}, {"-b="}, {"-b", ""}, {"-b=  "}, {"-b=\"\""}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_FALSE(parsed.words.Has(Flag::kBucketName)) << Joined(arguments);
    EXPECT_EQ(parsed.faults, "");
  }
}

TEST(ParseWords, ResolvesPrefixesThatAreUniqueAmongTheOldNames) {
  const std::vector<std::pair<std::string, Flag>> prefixes = {
      {"b", Flag::kBucketName},
      {"bucket", Flag::kBucketName},
      {"inf", Flag::kInferenceServer},
      {"inp", Flag::kInputDirectory},
      {"model_p", Flag::kModelPath},
      {"model-n", Flag::kModelName},
      {"hu", Flag::kHuggingface},
      {"quantize_t", Flag::kQuantizeType},
      {"quantize_w", Flag::kQuantizeWeights},
      {"v", Flag::kVersion},
      {"o", Flag::kOutputDirectory},
      {"out", Flag::kOutputDirectory},
      {"output", Flag::kOutputDirectory},
      {"output_d", Flag::kOutputDirectory}};
  for (const auto& [prefix, flag] : prefixes) {
    const Parsed parsed = Parse({"--" + prefix + "=1"});
    EXPECT_EQ(parsed.words.Get(flag), "1") << prefix;
    EXPECT_EQ(parsed.faults, "") << prefix;
  }
  EXPECT_EQ(Parse({"--me=1"}).words.meta_url.Reveal(), "1");
  EXPECT_EQ(Parse({"--meta_u=1"}).words.meta_url.Reveal(), "1");
  EXPECT_TRUE(Parse({"--he"}).words.wants_help);
}

TEST(ParseWords, TakesWholeNamesThatBeginAnother) {
  EXPECT_EQ(Parse({"--outputs=scanned"}).words.Get(Flag::kOutputs), "scanned");
  EXPECT_EQ(Parse({"--meta_url_file=/f"}).words.Get(Flag::kMetaUrlFile), "/f");
}

TEST(ParseWords, ListsWhatAnAmbiguousPrefixMayMean) {
  const std::vector<std::pair<std::string, Strings>> rows = {
      {"--model", {"--model_path", "--model_name"}},
      {"--q", {"--quantize_type", "--quantize_weights"}},
      {"--h", {"--huggingface", "--help"}},
      {"--i", {"--inference_server", "--input_directory"}},
      {"--m", {"--model_path", "--model_name", "--meta_url"}}};
  for (const auto& [prefix, names] : rows) {
    const Parsed parsed = Parse({prefix + "=x"});
    EXPECT_THAT(parsed.faults, HasSubstr(prefix + " is ambiguous"));
    for (const std::string& name : names) EXPECT_THAT(parsed.faults, HasSubstr(name)) << prefix;
    EXPECT_THAT(parsed.faults, HasSubstr("(exit 64)"));
    EXPECT_THAT(parsed.words.values, IsEmpty()) << prefix;
  }
  EXPECT_THAT(Parse({"--m=x"}).faults, Not(HasSubstr("--mesh")));
  // Its value is no word to warn of.
  EXPECT_THAT(Parse({"--model", "x"}).words.warnings, IsEmpty());
}

TEST(ParseWords, GivesNoPrefixToANewFlag) {
  for (const std::string word : {"--dry", "--over", "--expl", "--log_f", "--term"})
    EXPECT_THAT(Parse({word}).faults, HasSubstr("is unknown")) << word;
}

TEST(ParseWords, SuggestsTheNearestName) {
  const Parsed parsed = Parse({"--quantise_type=int8"});
  EXPECT_THAT(parsed.faults, HasSubstr("--quantise_type is unknown"));
  EXPECT_THAT(parsed.faults, HasSubstr("did you mean --quantize_type?"));
  EXPECT_THAT(Parse({"--dry-rum"}).faults, HasSubstr("did you mean --dry_run?"));
  EXPECT_THAT(Parse({"--nothing_like_it"}).faults, HasSubstr("--help lists all flags"));
}

TEST(ParseWords, RefusesUnknownLetters) {
  EXPECT_THAT(Parse({"-z=1"}).faults, HasSubstr("-z is unknown"));
  EXPECT_THAT(Parse({"-B=1"}).faults, HasSubstr("-B is unknown"));
  EXPECT_THAT(Parse({"-\x01=1"}).faults, HasSubstr("-\\x01 is unknown"));
}

TEST(ParseWords, DoesNotWarnOfTheValueOfAnUnknownFlag) {
  const Parsed parsed = Parse({"--nonsense", "value", "-z", "value", "-b=bkt"});
  EXPECT_EQ(parsed.fault_count, 2U);
  EXPECT_THAT(parsed.words.warnings, IsEmpty());
  EXPECT_EQ(parsed.words.Get(Flag::kBucketName), "bkt");
}

TEST(ParseWords, RefusesAMissingValueOfEveryFlagThatTakesOne) {
  for (const FlagInfo& info : Flags()) {
    if (info.kind == FlagKind::kHelp || info.kind == FlagKind::kSwitch) continue;
    const std::string name = "--" + std::string(info.name);
    EXPECT_THAT(Parse({name}).faults, HasSubstr(name + " needs a value"));
    const Parsed parsed = Parse({name, "-v=1"});
    if (info.flag == Flag::kVersion) continue;
    EXPECT_THAT(parsed.faults, HasSubstr("-v looks like a flag")) << name;
    // The next word is read as what it is.
    EXPECT_EQ(parsed.words.Get(Flag::kVersion), "1") << name;
  }
}

TEST(ParseWords, TellsThatTheLetterHIsNotHelp) {
  for (const Strings& arguments : {Strings{"-h"}, {"-h", "-q=True"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_THAT(parsed.faults, HasSubstr("-h needs a value"));
    EXPECT_THAT(parsed.faults, HasSubstr("-x or --help prints help"));
    EXPECT_FALSE(parsed.words.wants_help);
  }
  EXPECT_EQ(Parse({"-h=True"}).words.Get(Flag::kHuggingface), "True");
  EXPECT_EQ(Parse({"-hTrue"}).words.Get(Flag::kHuggingface), "True");
}

TEST(ParseWords, TakesADashAloneAndAGluedDashAsAValue) {
  EXPECT_EQ(Parse({"-v", "-"}).words.Get(Flag::kVersion), "-");
  EXPECT_EQ(Parse({"-v=-1"}).words.Get(Flag::kVersion), "-1");
}

TEST(ParseWords, HelpHasItsSpellingsAndTakesNoValue) {
  for (const Strings& arguments :
       {Strings{"-x"}, {"--help"}, {"--hel"}, {"-help"}, {"-b=bkt", "-x"}, {"run", "--help"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_TRUE(parsed.words.wants_help) << Joined(arguments);
    EXPECT_EQ(parsed.faults, "") << Joined(arguments);
  }
  EXPECT_THAT(Parse({"--help=all"}).faults, HasSubstr("--help takes no value"));
}

TEST(ParseWords, ReadsHelpThatIsGroupedWithAnotherLetter) {
  for (const Strings& arguments : {Strings{"-xb", "bkt"}, {"-xb=bkt"}, {"-xbbkt"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_TRUE(parsed.words.wants_help);
    EXPECT_EQ(parsed.words.Get(Flag::kBucketName), "bkt");
    EXPECT_EQ(parsed.faults, "");
  }
}

TEST(ParseWords, TheLastOfARepeatedFlagCounts) {
  const Parsed same = Parse({"-b=bkt", "--bucket_name", "bkt"});
  EXPECT_THAT(same.words.warnings, IsEmpty());
  const Parsed other = Parse({"-b=one", "-m=x", "--bucket_name", "two"});
  EXPECT_EQ(other.words.Get(Flag::kBucketName), "two");
  EXPECT_THAT(other.words.warnings,
              ElementsAre(HasSubstr("--bucket_name is given more than once")));
  const Parsed none = Parse({"-b=one", "-b="});
  EXPECT_FALSE(none.words.Has(Flag::kBucketName));
  EXPECT_EQ(Parse({"-i=/a", "-1=/b"}).words.Get(Flag::kInputDirectory), "/b");
  EXPECT_EQ(Parse({"-u=https://a", "-u=https://b"}).words.meta_url.Reveal(), "https://b");
}

TEST(ParseWords, IgnoresWordsThatAreNoFlagsAndNamesThem) {
  const Parsed parsed = Parse({"run", "--bucket_name=bkt", "also", "--", "now", "-m=x"});
  EXPECT_EQ(parsed.words.Get(Flag::kBucketName), "bkt");
  EXPECT_FALSE(parsed.words.Has(Flag::kModelPath));
  EXPECT_EQ(parsed.faults, "");
  EXPECT_THAT(parsed.words.warnings, ElementsAre(HasSubstr("run, also, now, -m=x")));
}

TEST(ParseWords, ReadsAnEmptyListAsNothing) {
  const Parsed parsed = Parse({});
  EXPECT_THAT(parsed.words.values, IsEmpty());
  EXPECT_EQ(parsed.faults, "");
  EXPECT_EQ(Parse({"--"}).faults, "");
}

// --------------------------------------------------------------------- -i, -1, -2

TEST(ParseWords, TheValueDecidesWhatTheLetterIMeans) {
  for (const std::string server : {"jetstream-maxtext", "jetstream-pytorch"}) {
    for (const Strings& arguments :
         {Strings{"-i=" + server}, {"-i", server}, {"-i" + server}, {"-i=\"" + server + "\""}}) {
      const Parsed parsed = Parse(arguments);
      EXPECT_EQ(parsed.words.Get(Flag::kInferenceServer), server) << Joined(arguments);
      EXPECT_FALSE(parsed.words.Has(Flag::kInputDirectory));
      EXPECT_THAT(parsed.words.notices, ElementsAre(HasSubstr("is read as --inference_server")));
    }
  }
  const Parsed input = Parse({"-i=gs://bkt/in"});
  EXPECT_EQ(input.words.Get(Flag::kInputDirectory), "gs://bkt/in");
  EXPECT_THAT(input.words.notices, IsEmpty());
  // Only the letter had two meanings.
  EXPECT_EQ(Parse({"--input_directory=jetstream-maxtext"}).words.Get(Flag::kInputDirectory),
            "jetstream-maxtext");
  EXPECT_EQ(Parse({"-1=jetstream-maxtext"}).words.Get(Flag::kInputDirectory), "jetstream-maxtext");
}

TEST(ParseWords, TheDigitsAreInputAndOutput) {
  const Parsed parsed = Parse({"-i=jetstream-pytorch", "-1=gs://bkt/in", "-2=gs://bkt/out"});
  EXPECT_EQ(parsed.words.Get(Flag::kInferenceServer), "jetstream-pytorch");
  EXPECT_EQ(parsed.words.Get(Flag::kInputDirectory), "gs://bkt/in");
  EXPECT_EQ(parsed.words.Get(Flag::kOutputDirectory), "gs://bkt/out");
  EXPECT_THAT(parsed.words.warnings, IsEmpty());
}

// --------------------------------------------------------------------- booleans and switches

TEST(ParseWords, ASwitchIsTrueAloneAndTakesABooleanWord) {
  const std::vector<std::pair<Strings, std::string>> rows = {
      {{"--dry_run"}, "true"},           {{"--dry-run"}, "true"},
      {{"--dry_run=False"}, "False"},    {{"--dry_run", "off"}, "off"},
      {{"--dry_run", "-b=bkt"}, "true"}, {{"--dry_run=maybe"}, "maybe"}};
  for (const auto& [arguments, value] : rows) {
    const Parsed parsed = Parse(arguments);
    EXPECT_EQ(parsed.words.Get(Flag::kDryRun), value) << Joined(arguments);
    EXPECT_EQ(parsed.faults, "") << Joined(arguments);
    EXPECT_THAT(parsed.words.warnings, IsEmpty()) << Joined(arguments);
  }
  const Parsed parsed = Parse({"--dry_run", "now"});
  EXPECT_EQ(parsed.words.Get(Flag::kDryRun), "true");
  EXPECT_THAT(parsed.words.warnings, ElementsAre(HasSubstr("now")));
}

TEST(ParseBoolean, KnowsItsWordsInAnyCase) {
  for (const char* word :
       {"true", "True", "TRUE", "t", "T", "yes", "Yes", "y", "Y", "on", "On", "1"})
    EXPECT_EQ(ParseBoolean(word), true) << word;
  for (const char* word : {"false", "False", "FALSE", "f", "no", "NO", "n", "off", "Off", "0", ""})
    EXPECT_EQ(ParseBoolean(word), false) << word;
  for (const char* word : {"maybe", "2", "tru", "truee", "enable", " true", "10"})
    EXPECT_EQ(ParseBoolean(word), std::nullopt) << word;
}

// --------------------------------------------------------------------- secrets

// Where a signed URL may land, by intent or by mistake.
TEST(ParseWords, NeverShowsASignedUrl) {
  for (const Strings& arguments : {Strings{"--meta_url=" + kUrl},
                                   {"--meta_url", kUrl},
                                   {"-u=" + kUrl},
                                   {"-u", kUrl},
                                   {"-u" + kUrl},
                                   {"-u=\"" + kUrl + "\""},
                                   {"-meta_url=" + kUrl},
                                   {"--meta=" + kUrl},
                                   {"--m=" + kUrl},
                                   {"--m", kUrl},
                                   {"--meta_urll=" + kUrl},
                                   {"--meta_urll", kUrl},
                                   {"--url=" + kUrl},
                                   {"-U=" + kUrl},
                                   {"-U", kUrl},
                                   {"-z" + kUrl},
                                   {kUrl},
                                   {"--", kUrl},
                                   {"--", "--meta_url=" + kUrl},
                                   {"-b", "--meta_url=" + kUrl},
                                   {"-b", "-u=" + kUrl},
                                   {"-b", "-u" + kUrl},
                                   {"--dry_run", kUrl},
                                   {"--help=" + kUrl},
                                   {"-x=" + kUrl},
                                   {"-u=" + kUrl, "-u=https://other.example/?PLANTED"}}) {
    const Parsed parsed = Parse(arguments);
    EXPECT_THAT(parsed.faults, Not(HasSubstr("PLANTED"))) << Joined(arguments);
    EXPECT_THAT(parsed.words.warnings, Not(::testing::Contains(HasSubstr("PLANTED"))))
        << Joined(arguments);
    EXPECT_THAT(parsed.words.notices, Not(::testing::Contains(HasSubstr("PLANTED"))))
        << Joined(arguments);
    for (const auto& [flag, value] : parsed.words.values)
      EXPECT_THAT(value, Not(HasSubstr("PLANTED"))) << Info(flag).name;
  }
}

TEST(Redacted, LeavesOutQueriesUsersAndTokens) {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"https://a.example/p?x=PLANTED", "https://a.example/p?[redacted]"},
      {"https://a.example/p#PLANTED", "https://a.example/p?[redacted]"},
      {"https://user:PLANTED@a.example/p", "https://a.example/p"},
      {"https://user:PLANTED@a.example", "https://a.example"},
      {"https://a.example/@PLAIN", "https://a.example/@PLAIN"},
      {"gs://bkt/a=b", "gs://bkt/a=b"},
      {"x hf_PLANTEDPLANTEDPLANTEDPLANTED", "x [secret]"},
      {"KGAT_PLANTEDPLANTEDPLANTEDPLANTED", "[secret]"},
      {"meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-7b-hf"},
      {"a?b", "a?b"},
      {"a\nb\x1b", "a\\x0ab\\x1b"},
      {"", ""}};
  for (const auto& [word, shown] : rows) EXPECT_EQ(Redacted(word), shown);
}

}  // namespace
}  // namespace ckpt::contract

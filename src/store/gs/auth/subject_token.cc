#include "store/gs/auth/subject_token.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "base/text.h"
#include "store/gs/auth/credential_json.h"
#include "store/gs/auth/credential_kinds.h"
#include "store/gs/auth/run_program.h"

namespace ckpt::gs {
namespace {

class SubjectFile final : public SubjectTokenSource {
 public:
  SubjectFile(std::string path, std::string json_field)
      : path_(std::move(path)), json_field_(std::move(json_field)) {}
  // Read each time: whoever made it renews it.
  Result<Secret> Get() override {
    CKPT_TRY(const Secret text, ReadSecretFile(path_));
    return ExtractSubjectToken(text, json_field_).map_error(Where("file", Printable(path_)));
  }

 private:
  const std::string path_;
  const std::string json_field_;
};

class SubjectUrl final : public SubjectTokenSource {
 public:
  SubjectUrl(std::shared_ptr<http::Engine> engine, http::Url url, http::Headers headers,
             std::string json_field)
      : engine_(std::move(engine)),
        url_(std::move(url)),
        headers_(std::move(headers)),
        json_field_(std::move(json_field)) {}
  Result<Secret> Get() override {
    http::Request request;
    request.url = url_;
    request.headers = headers_;
    request.follows_redirects = false;
    CKPT_TRY(http::Response response, engine_->Send(std::move(request)));
    if (response.status != 200)
      return Result<Secret>(Fail(Code::kNoCredential,
                                 "gives no token: it answered " + std::to_string(response.status),
                                 "check \"credential_source\" in the credential file"))
          .map_error(Where("address", url_.Print()));
    return ExtractSubjectToken(Secret(std::move(response.body)), json_field_)
        .map_error(Where("address", url_.Print()));
  }

 private:
  const std::shared_ptr<http::Engine> engine_;
  const http::Url url_;
  const http::Headers headers_;
  const std::string json_field_;
};

class SubjectProgram final : public SubjectTokenSource {
 public:
  SubjectProgram(Program program, Clock clock)
      : program_(std::move(program)), clock_(std::move(clock)) {}
  Result<Secret> Get() override {
    CKPT_TRY(const Secret text, RunProgram(program_));
    return ParseExecutableAnswer(text, clock_())
        .map_error(Where("program", Printable(program_.words.front())));
  }

 private:
  const Program program_;
  const Clock clock_;
};

Result<std::unique_ptr<SubjectTokenSource>> MakeProgram(const nlohmann::json& account,
                                                        const nlohmann::json& executable,
                                                        const TokenContext& context) {
  if (context.environment("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES").value_or("") != "1")
    return Fail(Code::kDenied, "the credential file wants to run a program",
                "if you trust the file, set GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1");
  CKPT_TRY(const std::string command, FieldOf(executable, "command"));
  Program program;
  for (std::string& word : Split(command, ' ')) {
    if (!word.empty()) program.words.push_back(std::move(word));
  }
  if (program.words.empty())
    return Fail(Code::kNoCredential, "\"command\" is empty", "make the credential file again");
  const auto timeout = executable.find("timeout_millis");
  constexpr int64_t least = 5'000;
  constexpr int64_t most = 120'000;
  if (timeout != executable.end() && timeout->is_number_integer())
    program.timeout = std::chrono::milliseconds(std::clamp(timeout->get<int64_t>(), least, most));
  program.variables = {
      {"GOOGLE_EXTERNAL_ACCOUNT_AUDIENCE", FieldOr(account, "audience", "")},
      {"GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE", FieldOr(account, "subject_token_type", "")},
      {"GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE", "0"}};
  return std::make_unique<SubjectProgram>(std::move(program), context.clock);
}

}  // namespace

Result<Secret> ExtractSubjectToken(const Secret& text, const std::string& json_field) {
  std::string token = json_field.empty()
                          ? std::string(Trimmed(text.Reveal()))
                          : FieldOr(ParseJson(text.Reveal()), json_field.c_str(), "");
  if (token.empty())
    return Fail(Code::kNoCredential,
                json_field.empty() ? "is empty" : "has no field \"" + Excerpt(json_field) + "\"",
                "check \"credential_source\" in the credential file");
  return Secret(std::move(token));
}

Result<Secret> ParseExecutableAnswer(const Secret& text,
                                     std::chrono::system_clock::time_point now) {
  const nlohmann::json json = ParseJson(text.Reveal());
  constexpr const char* remedy = "run it by hand and see what it prints";
  if (!json.is_object())
    return Fail(Code::kNoCredential, "printed something that is no JSON object", remedy);
  if (const auto success = json.find("success");
      success == json.end() || !success->is_boolean() || !success->get<bool>())
    return Fail(Code::kNoCredential,
                "gives no token: " + Excerpt(FieldOr(json, "code", "")) + " " +
                    Excerpt(FieldOr(json, "message", "it says no reason")),
                remedy);
  if (const auto expires = json.find("expiration_time");
      expires != json.end() && expires->is_number_integer() &&
      std::chrono::system_clock::time_point(std::chrono::seconds(expires->get<int64_t>())) <= now)
    return Fail(Code::kNoCredential, "gives a token that has expired", remedy);
  std::string token = FieldOr(json, "id_token", FieldOr(json, "saml_response", ""));
  if (token.empty()) return Fail(Code::kNoCredential, "gives no \"id_token\"", remedy);
  return Secret(std::move(token));
}

Result<std::unique_ptr<SubjectTokenSource>> MakeSubjectTokenSource(const nlohmann::json& account,
                                                                   const TokenContext& context) {
  const auto found = account.find("credential_source");
  if (found == account.end() || !found->is_object())
    return Fail(Code::kNoCredential, "\"credential_source\" is missing",
                "make the credential file again");
  const nlohmann::json& source = *found;
  if (FieldOr(source, "environment_id", "").starts_with("aws"))
    return Fail(Code::kNoCredential,
                "credentials of AWS workloads (environment_id) are not supported",
                R"(use a token file ("credential_source": {"file"}), or a service account)");
  std::string json_field;
  if (const auto format = source.find("format"); format != source.end() && format->is_object()) {
    if (FieldOr(*format, "type", "text") == "json") {
      CKPT_TRY(json_field, FieldOf(*format, "subject_token_field_name"));
    }
  }
  if (std::string path = FieldOr(source, "file", ""); !path.empty())
    return std::make_unique<SubjectFile>(std::move(path), std::move(json_field));
  if (const std::string address = FieldOr(source, "url", ""); !address.empty()) {
    // Such addresses are often machines' own metadata servers: http is their only form.
    CKPT_TRY(http::Url url, http::Url::Parse(address).map_error(Where("field", "url")));
    http::Headers headers;
    if (const auto list = source.find("headers"); list != source.end() && list->is_object()) {
      for (const auto& [name, value] : list->items()) {
        if (value.is_string()) headers.push_back({name, value.get<std::string>()});
      }
    }
    return std::make_unique<SubjectUrl>(context.engine, std::move(url), std::move(headers),
                                        std::move(json_field));
  }
  if (const auto executable = source.find("executable");
      executable != source.end() && executable->is_object())
    return MakeProgram(account, *executable, context);
  return Fail(Code::kNoCredential, R"("credential_source" has neither "file" nor "url")",
              "make the credential file again");
}

}  // namespace ckpt::gs

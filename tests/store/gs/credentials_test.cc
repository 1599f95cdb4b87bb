// Google's credentials: the JWT, where they are found, every kind against the strict stub, renewal.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "base/base64.h"
#include "store/gs/auth/google_credentials.h"
#include "store/gs/auth/jwt.h"
#include "store/gs/auth/subject_token.h"
#include "store/gs/auth/token_answer.h"
#include "store/gs/auth/token_cache.h"
#include "tests/store/store_test.h"
#include "tests/store/temp_folder.h"
#include "tests/stubs/started.h"

namespace ckpt {
namespace {

using Json = nlohmann::json;
using std::chrono::seconds;
using Time = std::chrono::system_clock::time_point;

std::string Base64UrlDecoded(std::string text) {
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  return DecodeBase64(text).value_or("no base64");
}

TEST(GsJwt, PrintsHeaderAndClaims) {
  const std::string text =
      gs::PrintJwt({"key", "me@example.com", "scope", "https://token", Time(seconds(1000))});
  const size_t dot = text.find('.');
  EXPECT_EQ(Base64UrlDecoded(text.substr(0, dot)), R"({"alg":"RS256","typ":"JWT","kid":"key"})");
  EXPECT_EQ(
      Base64UrlDecoded(text.substr(dot + 1)),
      R"({"iss":"me@example.com","scope":"scope","aud":"https://token","iat":1000,"exp":4600})");
  EXPECT_EQ(text.find('='), std::string::npos);
}

TEST(GsJwt, RefusesWhatIsNoKey) {
  for (const std::string bad :
       {"", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"})
    EXPECT_FAILS(Code::kNoCredential, gs::SignJwt({}, Secret(bad)));
}

TEST(GsTokenAnswer, TakesTokenAndLife) {
  ASSERT_RESULT(const gs::Token token,
                gs::ParseTokenAnswer(R"({"access_token":"t","expires_in":60})", Time(seconds(5))));
  EXPECT_EQ(token.value.Reveal(), "t");
  EXPECT_EQ(token.expires, Time(seconds(65)));
  for (const std::string bad : {"", "[]", R"({"access_token":"secret"})", R"({"expires_in":1})",
                                R"({"access_token":"","expires_in":60})"}) {
    const auto failed = gs::ParseTokenAnswer(bad, Time());
    EXPECT_FAILS(Code::kUnavailable, failed);
    EXPECT_EQ(ErrorOf(failed).find("secret"), std::string::npos);
  }
}

TEST(GsTokenAnswer, SaysWhatToDo) {
  const auto remedy = [](const std::string& description) {
    return gs::ExplainOAuth(
               400, Json{{"error", "invalid_grant"}, {"error_description", description}}.dump())
        .Print();
  };
  EXPECT_NE(remedy("Invalid JWT: check your iat and exp values").find("clock"), std::string::npos);
  EXPECT_NE(
      remedy("Token has been expired or revoked.").find("gcloud auth application-default login"),
      std::string::npos);
}

TEST(GsSubjectToken, ReadsProgramsAnswers) {
  const Time now(seconds(100));
  EXPECT_EQ(gs::ParseExecutableAnswer(
                Secret(R"({"success":true,"id_token":"t","expiration_time":101})"), now)
                ->Reveal(),
            "t");
  for (const std::string bad :
       {"", R"({"success":false,"code":"401","message":"no"})",
        R"({"success":true,"id_token":"t","expiration_time":100})", R"({"success":true})"})
    EXPECT_FAILS(Code::kNoCredential, gs::ParseExecutableAnswer(Secret(bad), now));
}

/// Counts; each token lives as long as it is told, and fails when it is told.
class ScriptedSource final : public gs::TokenSource {
 public:
  struct State {
    std::atomic<int> fetched{0};
    std::atomic<int> life_s{3600};
    std::atomic<bool> fails{false};
    std::atomic<int64_t> now_s{1'000'000};
  };
  explicit ScriptedSource(State& state) : state_(state) {}
  Result<gs::Token> Fetch() override {
    if (state_.fails) return Fail(Code::kUnavailable, "scripted");
    const int number = ++state_.fetched;
    return gs::Token{Secret("t" + std::to_string(number)),
                     Time(seconds(state_.now_s + state_.life_s))};
  }

 private:
  State& state_;
};

class GsTokenCache : public testing::Test {
 protected:
  GsTokenCache() {
    GoogleCredentialOptions options;
    options.clock = [this] { return Time(seconds(state_.now_s)); };
    options.warn = [this](std::string_view) { ++warnings_; };
    cache_.emplace(std::make_unique<ScriptedSource>(state_), "", options);
  }
  std::string Token() {
    const auto headers = cache_->Authorize();
    return headers ? headers->front().value : "";
  }
  // The refresh goes on beside: it is there in a moment.
  template <class Condition>
  void Await(Condition condition) {
    for (int i = 0; i < 2000 && !condition(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    EXPECT_TRUE(condition());
  }
  ScriptedSource::State state_;
  std::atomic<int> warnings_{0};
  std::optional<gs::TokenCache> cache_;
};

TEST_F(GsTokenCache, FetchesOnceForManyThreads) {
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { EXPECT_EQ(Token(), "Bearer t1"); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(state_.fetched, 1);
}

TEST_F(GsTokenCache, RefreshesBesideTheWorkWhenLittleLifeIsLeft) {
  EXPECT_EQ(Token(), "Bearer t1");
  state_.now_s += 3600 - 226;
  EXPECT_EQ(Token(), "Bearer t1");
  EXPECT_EQ(state_.fetched, 1);
  state_.now_s += 2;
  EXPECT_EQ(Token(), "Bearer t1");
  Await([&] { return Token() == "Bearer t2"; });
  EXPECT_EQ(state_.fetched, 2);
}

TEST_F(GsTokenCache, WarnsWhenARefreshFailsAndTheTokenIsStillGood) {
  EXPECT_EQ(Token(), "Bearer t1");
  state_.fails = true;
  state_.now_s += 3600 - 100;
  EXPECT_EQ(Token(), "Bearer t1");
  Await([&] { return warnings_ == 1; });
  EXPECT_EQ(Token(), "Bearer t1");
  state_.now_s += 95;  // too old now
  EXPECT_EQ(Token(), "");
}

TEST_F(GsTokenCache, RenewsOnceForRequestsThatFailedTogether) {
  EXPECT_EQ(Token(), "Bearer t1");
  EXPECT_TRUE(cache_->Renew());
  EXPECT_EQ(Token(), "Bearer t2");
  EXPECT_TRUE(cache_->Renew());
  EXPECT_EQ(Token(), "Bearer t2");
  state_.now_s += 60;
  EXPECT_TRUE(cache_->Renew());
  EXPECT_EQ(Token(), "Bearer t3");
}

/// The stub of Google's token services, and an environment of a test's own.
class GsCredentials : public testing::Test {
 protected:
  void Start(const std::vector<std::string>& arguments = {}) {
    stub_.emplace("oauth", arguments);
    http::EngineOptions options;
    options.first_delay = std::chrono::milliseconds(2);
    options.deadline = std::chrono::seconds(5);
    options.trusted_origins = {stub_->origin()};
    engine_ = *http::Engine::Make(std::move(options));
  }
  std::string Write(const std::string& name, const std::string& text) {
    std::string path = folder_.path() + "/" + name;
    std::ofstream(path) << text;
    return path;
  }
  void UseFile(const Json& json) {
    variables_["GOOGLE_APPLICATION_CREDENTIALS"] = Write("credentials.json", json.dump());
  }
  Result<std::shared_ptr<GoogleCredentials>> Find() {
    if (!engine_) Start();
    return FindGoogleCredentials(
        [this](const char* name) -> std::optional<std::string> {
          const auto found = variables_.find(name);
          return found == variables_.end() ? std::nullopt : std::optional(found->second);
        },
        engine_, options_);
  }
  // The token's owner, as the stub knows it, or the error.
  std::string Owner() {
    const auto found = Find();
    if (!found) return ErrorOf(found);
    const auto headers = (*found)->Authorize();
    if (!headers) return headers.error().Print();
    const std::string token = headers->front().value.substr(7);
    const Json issued = Json::parse(stub_->Get("/_stub/issued"));
    return issued.value(token, "unknown token");
  }
  Json ExternalAccount(const Json& source) {
    return {{"type", "external_account"},
            {"audience", "//iam.googleapis.com/pool"},
            {"subject_token_type", "urn:ietf:params:oauth:token-type:jwt"},
            {"token_url", stub_->origin() + "/v1/token"},
            {"credential_source", source}};
  }
  std::string ImpersonationUrl() {
    return stub_->origin() +
           "/v1/projects/-/serviceAccounts/"
           "stub@project.iam.gserviceaccount.com:generateAccessToken";
  }
  Json User() {
    return {{"type", "authorized_user"},
            {"client_id", "client"},
            {"client_secret", "client-secret"},
            {"refresh_token", "planted-refresh"},
            {"token_uri", stub_->origin() + "/token"},
            {"quota_project_id", "quota"}};
  }

  TempFolder folder_;
  std::optional<StartedStub> stub_;
  std::shared_ptr<http::Engine> engine_;
  std::map<std::string, std::string> variables_;
  GoogleCredentialOptions options_;
};

TEST_F(GsCredentials, SignForServiceAccounts) {
  EVP_PKEY* key = EVP_RSA_gen(2048);
  const std::string private_path = folder_.path() + "/private.pem";
  const std::string public_path = folder_.path() + "/public.pem";
  BIO* file = BIO_new_file(private_path.c_str(), "w");
  PEM_write_bio_PKCS8PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  BIO_free(file);
  file = BIO_new_file(public_path.c_str(), "w");
  PEM_write_bio_PUBKEY(file, key);
  BIO_free(file);
  EVP_PKEY_free(key);
  std::ifstream pem(private_path);
  const std::string text((std::istreambuf_iterator<char>(pem)), std::istreambuf_iterator<char>());

  Start({"--service-account", "me@example.com=" + public_path, "--key-id", "k1"});
  Json json = {{"type", "service_account"},
               {"client_email", "me@example.com"},
               {"private_key_id", "k1"},
               {"private_key", text},
               {"token_uri", stub_->origin() + "/token"}};
  UseFile(json);
  EXPECT_EQ(Owner(), "me@example.com");
  EXPECT_EQ((*Find())->principal(), "me@example.com");
  options_.clock = [] { return std::chrono::system_clock::now() - std::chrono::hours(2); };
  EXPECT_NE(Owner().find("clock"), std::string::npos) << Owner();
  json["private_key_id"] = "k2";
  UseFile(json);
  const std::string error = Owner();
  EXPECT_NE(error.find("(exit 77)"), std::string::npos) << error;
  EXPECT_EQ(error.find("PRIVATE KEY"), std::string::npos) << error;
}

TEST_F(GsCredentials, RefreshForUsers) {
  Start({"--refresh-token", "planted-refresh"});
  UseFile(User());
  EXPECT_EQ(Owner(), "user");
  GsOptions options;
  UseCredentials(options, *Find());
  EXPECT_EQ(options.user_project, "quota");
  Json revoked = User();
  revoked["refresh_token"] = "planted-old";
  UseFile(revoked);
  const std::string error = Owner();
  EXPECT_NE(error.find("gcloud auth application-default login"), std::string::npos) << error;
  EXPECT_EQ(error.find("planted"), std::string::npos) << error;
}

TEST_F(GsCredentials, ExchangeTokensFromFilesAndAddresses) {
  Start({"--subject-token", "subject"});
  UseFile(ExternalAccount({{"file", Write("subject", "subject\n")}}));
  EXPECT_EQ(Owner(), "federated");
  UseFile(ExternalAccount({{"file", Write("subject.json", R"({"t":"subject"})")},
                           {"format", {{"type", "json"}, {"subject_token_field_name", "t"}}}}));
  EXPECT_EQ(Owner(), "federated");
  UseFile(ExternalAccount(
      {{"url", stub_->origin() + "/_stub/subject-token"},
       {"format", {{"type", "json"}, {"subject_token_field_name", "access_token"}}}}));
  EXPECT_EQ(Owner(), "federated");
  Json impersonated = ExternalAccount({{"file", Write("subject", "subject")}});
  impersonated["service_account_impersonation_url"] = ImpersonationUrl();
  UseFile(impersonated);
  EXPECT_EQ(Owner(), "stub@project.iam.gserviceaccount.com");
  EXPECT_EQ((*Find())->principal(), "stub@project.iam.gserviceaccount.com");
}

TEST_F(GsCredentials, RunProgramsOnlyWhereAllowed) {
  Start({"--subject-token", "subject"});
  const std::string program =
      Write("program",
            "#!/bin/sh\n[ \"$GOOGLE_EXTERNAL_ACCOUNT_INTERACTIVE\" = 0 ] && "
            "echo '{\"version\":1,\"success\":true,\"id_token\":\"subject\"}'\n");
  chmod(program.c_str(), 0700);
  UseFile(ExternalAccount({{"executable", {{"command", program + " --once"}}}}));
  EXPECT_FAILS(Code::kDenied, Find());
  variables_["GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES"] = "1";
  EXPECT_EQ(Owner(), "federated");
}

TEST_F(GsCredentials, RefuseAwsByNameAndStrangeHosts) {
  Start();
  UseFile(ExternalAccount({{"environment_id", "aws1"}}));
  const auto aws = Find();
  EXPECT_FAILS(Code::kNoCredential, aws);
  EXPECT_NE(ErrorOf(aws).find("AWS"), std::string::npos);
  Json strange = ExternalAccount({{"file", "x"}});
  strange["token_url"] = "https://sts.example.com/v1/token";
  UseFile(strange);
  EXPECT_FAILS(Code::kDenied, Find());
  Json open = User();
  open["token_uri"] = "http://oauth2.googleapis.com/token";
  UseFile(open);
  EXPECT_FAILS(Code::kDenied, Find());
}

TEST_F(GsCredentials, ImpersonateServiceAccounts) {
  Start({"--refresh-token", "planted-refresh"});
  Json source = User();
  UseFile({{"type", "impersonated_service_account"},
           {"service_account_impersonation_url", ImpersonationUrl()},
           {"source_credentials", source}});
  EXPECT_EQ(Owner(), "stub@project.iam.gserviceaccount.com");
  std::string denied = ImpersonationUrl();
  denied.replace(denied.find("stub@"), 5, "king@");
  UseFile({{"type", "impersonated_service_account"},
           {"service_account_impersonation_url", denied},
           {"source_credentials", source}});
  EXPECT_NE(Owner().find("roles/iam.serviceAccountTokenCreator"), std::string::npos) << Owner();
}

TEST_F(GsCredentials, WaitForAMetadataServerThatIsLate) {
  Start({"--refused", "2", "--late", "2"});
  variables_["GCE_METADATA_HOST"] = stub_->origin().substr(7);
  EXPECT_EQ(Owner(), "stub@project.iam.gserviceaccount.com");
  EXPECT_EQ((*Find())->principal(), "stub@project.iam.gserviceaccount.com");
  Start({"--no-flavor"});
  variables_["GCE_METADATA_HOST"] = stub_->origin().substr(7);
  EXPECT_FAILS(Code::kNoCredential, Find());
}

TEST_F(GsCredentials, AreLookedForInOrder) {
  Start({"--refresh-token", "planted-refresh"});
  options_.metadata_probe = std::chrono::milliseconds(50);
  variables_["GCE_METADATA_HOST"] = "127.0.0.1:1";
  options_.metadata_patience = std::chrono::milliseconds(50);
  variables_["HOME"] = folder_.path() + "/home";
  const auto nothing = Find();
  EXPECT_FAILS(Code::kNoCredential, nothing);
  EXPECT_NE(ErrorOf(nothing).find("--gcs-anonymous"), std::string::npos);

  variables_["CLOUDSDK_CONFIG"] = folder_.path();
  Write("application_default_credentials.json", User().dump());
  EXPECT_EQ(Owner(), "user");
  variables_["GOOGLE_APPLICATION_CREDENTIALS"] = folder_.path() + "/missing.json";
  EXPECT_FAILS(Code::kNoCredential, Find());
  variables_["GOOGLE_OAUTH_ACCESS_TOKEN"] = "given\n";
  EXPECT_EQ((*(*Find())->Authorize())[0].value, "Bearer given");
  EXPECT_FALSE((*Find())->Renew());
  options_.token_file = Write("token", "first\n");
  const auto found = Find();
  EXPECT_EQ((*(*found)->Authorize())[0].value, "Bearer first");
  Write("token", "second");
  EXPECT_TRUE((*found)->Renew());
  EXPECT_EQ((*(*found)->Authorize())[0].value, "Bearer second");
}

}  // namespace
}  // namespace ckpt

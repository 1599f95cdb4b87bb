#include "store/kaggle/explain.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "base/text.h"
#include "base/units.h"

namespace ckpt {
namespace {

Error KaggleError(Code code, const KaggleQuestion& question, std::string what, std::string remedy) {
  Error error{code, std::move(what), {}, {}, std::move(remedy)};
  if (!question.file.empty()) error.where.push_back({"file", Printable(question.file)});
  error.where.push_back({"model", "kaggle://" + question.handle.Print()});
  return error;
}

std::string KaggleWords(std::string_view body) {
  const nlohmann::json json = ParseJson(body);
  if (!json.is_object()) return "";
  const auto message = json.find("message");
  if (message == json.end() || !message->is_string()) return "";
  return fmt::format(" (\"{}\")", Excerpt(message->get<std::string>()));
}

std::string Places(const KaggleCredential& credential) {
  std::string text;
  for (const std::string& place : credential.looked)
    text += (text.empty() ? "" : ", ") + Printable(place);
  return text.empty() ? "no place" : text;
}

Error BadLogin(const KaggleQuestion& question, const std::string& words) {
  const KaggleCredential& credential = question.credential;
  const std::string what =
      credential.authorization.empty()
          ? fmt::format("credentials of Kaggle are missing{}; looked in {}", words,
                        Places(credential))
          : fmt::format("credentials of Kaggle are wrong{}: those of {}", words, credential.source);
  return KaggleError(Code::kDenied, question, what,
                     "download kaggle.json at https://www.kaggle.com/settings and mount it at "
                     "/kaggle, or set KAGGLE_USERNAME and KAGGLE_KEY");
}

Error NoLicence(const KaggleQuestion& question, const std::string& words) {
  const KaggleCredential& credential = question.credential;
  const std::string account = !credential.user.empty() ? "the account " + Printable(credential.user)
                              : credential.authorization.empty()
                                  ? std::string("your account")
                                  : "the account of the token in " + credential.source;
  return KaggleError(Code::kDenied, question,
                     fmt::format("Kaggle refuses to give {}{}", question.handle.Print(), words),
                     fmt::format("accept the model's licence at {} with {}, then run again",
                                 question.handle.Page(), account));
}

Error NoVersion(const KaggleQuestion& question) {
  if (!question.file.empty() && question.newest != 0)
    return KaggleError(Code::kNotFound, question,
                       fmt::format("no such file in {}", question.handle.Print()),
                       "look at its files at " + question.handle.Page());
  const std::string known = question.newest == 0   ? "none"
                            : question.newest == 1 ? "1"
                                                   : fmt::format("1 to {}", question.newest);
  return KaggleError(
      Code::kNotFound, question,
      fmt::format("no such variation or version; known versions: {}", known),
      fmt::format("look at the variations and versions at {}", question.handle.Page()));
}

}  // namespace

int KaggleStatus(const http::Response& answer) {
  if (answer.status != 200) return answer.status;
  // Errors are short; a listing need not be parsed twice.
  if (answer.body.size() > 4096) return 200;
  const nlohmann::json json = ParseJson(answer.body);
  if (!json.is_object()) return 200;
  const auto code = json.find("code");
  if (code == json.end() || !code->is_number_integer()) return 200;
  const int status = code->get<int>();
  return status >= 400 && status < 600 ? status : 200;
}

Error ExplainKaggle(const KaggleQuestion& question, int status, std::string_view body) {
  const std::string words = KaggleWords(body);
  switch (status) {
    case 401:
      return BadLogin(question, words);
    case 403:
      return NoLicence(question, words);
    case 404:
      return NoVersion(question);
    case 429:
      return KaggleError(Code::kTemporary, question, "Kaggle limits the rate of requests",
                         "run again later: what is done is kept");
    default:
      break;
  }
  const bool is_down = status == 408 || status >= 500;
  return KaggleError(is_down ? Code::kUnavailable : Code::kIo, question,
                     fmt::format("Kaggle answered with status {}{}", status, words),
                     is_down ? "run again later: what is done is kept"
                             : "check the handle and KAGGLE_API_ENDPOINT");
}

Error ExplainKaggleStorage(const KaggleQuestion& question, int status) {
  if (status == 400 || status == 401 || status == 403)
    return KaggleError(Code::kDenied, question,
                       "the storage refuses the signed address that Kaggle gave",
                       "check the clock of this machine and proxies on the way, then run again");
  if (status == 404 || status == 416)
    return KaggleError(Code::kBadInput, question,
                       fmt::format("the storage of Kaggle answered with status {}: the file is not "
                                   "what was listed",
                                   status),
                       "run again, or name another version");
  const bool is_down = status == 408 || status == 429 || status >= 500;
  return KaggleError(is_down ? Code::kUnavailable : Code::kIo, question,
                     fmt::format("the storage of Kaggle answered with status {}", status),
                     "run again later: what is done is kept");
}

Error NeedsScratch(const KaggleQuestion& question, std::optional<uint64_t> needed_bytes) {
  const std::string needed =
      needed_bytes ? std::to_string(*needed_bytes) : std::string("an unknown number of");
  Error error = KaggleError(
      Code::kCannotCreate, question,
      fmt::format("{} can be had as one archive only, not file by file; unpacked it needs {} bytes "
                  "of disk or more",
                  question.handle.Print(), needed),
      "run again with --scratch DIR, a folder on a disk with that much room; or unpack the archive "
      "yourself, and convert from the folder");
  // A volume of its own, as an emptyDir counts towards the pod's ephemeral storage; a tenth more
  // than the bytes, for its file system.
  const std::string size =
      needed_bytes ? fmt::format("{}Gi", *needed_bytes / 10 * 11 / kGiB + 1) : std::string("SIZE");
  error.details = {
      "to paste into a pod's spec, its container, and that one's args:",
      fmt::format(
          "volumes: [{{name: scratch, ephemeral: {{volumeClaimTemplate: {{spec: "
          "{{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: {}}}}}}}}}}}}}]",
          size),
      "volumeMounts: [{name: scratch, mountPath: /scratch}]",
      "- --scratch=/scratch",
  };
  return error;
}

Error NeedsSpace(const KaggleQuestion& question, const std::string& folder, uint64_t needed_bytes,
                 uint64_t free_bytes) {
  return KaggleError(
      Code::kCannotCreate, question,
      fmt::format("unpacking {} needs {} bytes of disk or more, and {} has {}",
                  question.handle.Print(), needed_bytes, Printable(folder), free_bytes),
      "free some space there, or name another --scratch DIR");
}

}  // namespace ckpt

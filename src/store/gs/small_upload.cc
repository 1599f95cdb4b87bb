#include "store/gs/small_upload.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "base/json_text.h"
#include "base/random.h"
#include "store/gs/session.h"

namespace ckpt::gs {
namespace {

constexpr int kReplaceTries = 5;
constexpr const char* kNameAnother = "name another output, or replace this one with --overwrite";

// Not to be found in the bytes, whoever made them.
std::string NewBoundary() { return fmt::format("{:016x}{:016x}", RandomBits(), RandomBits()); }

bool IsEqual(const ObjectMeta& meta, const Crc32c& crc32c) {
  return meta.size_bytes == crc32c.size_bytes() && meta.crc32c == crc32c;
}

}  // namespace

http::Request SmallUploadRequest(const Client& client, std::string_view object,
                                 std::string_view generation, UploadBuffer& buffer,
                                 const Crc32c& crc32c) {
  http::Request request =
      client.Upload(fmt::format("uploadType=multipart&ifGenerationMatch={}", generation));
  const std::string boundary = NewBoundary();
  const nlohmann::ordered_json metadata = {{"name", std::string(object)},
                                           {"crc32c", PrintCrc32c(crc32c)},
                                           {"contentType", "application/octet-stream"}};
  const std::string front = fmt::format(
      "--{0}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{1}\r\n"
      "--{0}\r\nContent-Type: application/octet-stream\r\n\r\n",
      boundary, PrintJsonLine(metadata));
  request.headers.push_back({"Content-Type", "multipart/related; boundary=" + boundary});
  request.body = buffer.Frame(front, crc32c.size_bytes(), fmt::format("\r\n--{}--\r\n", boundary));
  return request;
}

Result<std::string> GenerationToReplace(Client& client, std::string_view object,
                                        bool is_create_only) {
  if (is_create_only) return "0";
  CKPT_TRY(const auto found, client.Find(object));
  return found ? found->generation : "0";
}

Result<void> CheckNew(Client& client, std::string_view object) {
  CKPT_TRY(const auto found, client.Find(object));
  if (!found) return {};
  return Result<void>(Fail(Code::kCannotCreate, "exists already", kNameAnother))
      .map_error(client.At(object));
}

Result<ObjectMeta> AcceptEqual(Client& client, std::string_view object, const Crc32c& crc32c) {
  CKPT_TRY(auto found, client.Find(object));
  if (found && IsEqual(*found, crc32c)) return *std::move(found);
  return Result<ObjectMeta>(Fail(Code::kCannotCreate,
                                 found ? "exists already with other bytes"
                                       : "was changed by another program while it was written",
                                 kNameAnother))
      .map_error(client.At(object));
}

Result<ObjectMeta> AcceptCompleted(Client& client, std::string_view object, const Crc32c& crc32c) {
  CKPT_TRY(const auto found, client.Find(object));
  if (!found) return Result<ObjectMeta>(Fail(GoneError())).map_error(client.At(object));
  return AcceptEqual(client, object, crc32c);
}

Result<ObjectMeta> CheckMade(Client& client, ObjectMeta made, const Crc32c& crc32c) {
  if (made.size_bytes == crc32c.size_bytes() && made.crc32c.value_or(crc32c) == crc32c) {
    made.crc32c = crc32c;
    return made;
  }
  Error error{
      Code::kIo,
      fmt::format("arrived damaged: {} bytes with CRC-32C {} in the bucket, {} bytes with {} sent",
                  made.size_bytes, PrintCrc32c(made.crc32c.value_or(Crc32c())), crc32c.size_bytes(),
                  PrintCrc32c(crc32c)),
      {},
      {},
      "run again; if it happens twice, something on the way to the bucket changes bytes"};
  if (const Result<bool> deleted = client.Delete(made.name, made.generation); !deleted)
    error.details.push_back("and it could not be removed: " + deleted.error().what);
  return Result<ObjectMeta>(Fail(std::move(error))).map_error(client.At(made.name));
}

Result<ObjectMeta> UploadSmall(Client& client, std::string_view object, UploadBuffer& buffer,
                               const Crc32c& crc32c, bool is_create_only) {
  std::string generation = "0";  // most are new: nobody is asked before they are sent
  for (int i = 0; i < kReplaceTries; ++i) {
    CKPT_TRY(const http::Response response,
             client.Send(SmallUploadRequest(client, object, generation, buffer, crc32c))
                 .map_error(client.At(object)));
    if (response.status == 200 || response.status == 201) {
      CKPT_TRY(ObjectMeta made, ParseObject(response.body).map_error(client.At(object)));
      return CheckMade(client, std::move(made), crc32c);
    }
    if (response.status != 412)
      return Result<ObjectMeta>(Fail(client.Explain(response, kCreateObjects)))
          .map_error(client.At(object));
    if (is_create_only) break;
    CKPT_TRY(auto found, client.Find(object));
    if (found && IsEqual(*found, crc32c)) return *std::move(found);
    generation = found ? found->generation : "0";
  }
  return AcceptEqual(client, object, crc32c);
}

}  // namespace ckpt::gs

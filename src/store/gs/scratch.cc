#include "store/gs/scratch.h"

#include <fmt/format.h>

#include <utility>

#include "store/gs/object_json.h"
#include "store/gs/remove_objects.h"
#include "store/gs/small_upload.h"

namespace ckpt::gs {

std::string Scratch::NameOf(const ByteRange& range) const {
  return fmt::format("{}/{}-{}", folder_, range.begin, range.end);
}

// Neither way has a frame around the bytes, which lie in the middle of a part's buffer.
Result<void> Scratch::Save(const SavedPiece& piece, std::span<const std::byte> bytes) {
  const std::string name = NameOf(piece.range);
  return (is_composed_ ? SaveByJson(name, piece.crc32c, bytes)
                       : SaveByXml(name, piece.crc32c, bytes))
      .map_error(client_.At(name));
}

Result<void> Scratch::SaveByXml(const std::string& name, const Crc32c& crc32c,
                                std::span<const std::byte> bytes) {
  http::Request request = client_.Xml("PUT", name, "");
  request.headers.push_back({"Content-Type", "application/octet-stream"});
  request.headers.push_back({"x-goog-hash", "crc32c=" + PrintCrc32c(crc32c)});
  request.headers.push_back({"x-goog-if-generation-match", "0"});
  request.body = bytes;
  CKPT_TRY(const http::Response response, client_.Send(request));
  if (response.status / 100 == 2 || response.status == 412) return {};
  return Fail(client_.Explain(response, kCreateObjects));
}

// Where parts are composed, there may be no XML API. Here the answer's sum is what is held.
Result<void> Scratch::SaveByJson(const std::string& name, const Crc32c& crc32c,
                                 std::span<const std::byte> bytes) {
  http::Request request =
      client_.Upload("uploadType=media&ifGenerationMatch=0&name=" + http::PercentEncode(name));
  request.headers.push_back({"Content-Type", "application/octet-stream"});
  request.body = bytes;
  CKPT_TRY(const http::Response response, client_.Send(request));
  if (response.status == 412) return {};
  if (response.status / 100 != 2) return Fail(client_.Explain(response, kCreateObjects));
  CKPT_TRY(ObjectMeta made, ParseObject(response.body));
  CKPT_TRY_VOID(CheckMade(client_, std::move(made), crc32c));
  return {};
}

Result<bool> Scratch::Load(const SavedPiece& piece, std::span<std::byte> into) {
  const std::string name = NameOf(piece.range);
  http::Request request = client_.Json("GET", "/" + http::PercentEncode(name), "alt=media");
  request.range = ByteRange{0, piece.range.size()};
  request.into = into;
  request.total_bytes = piece.range.size();
  CKPT_TRY(const http::Response response, client_.Send(request).map_error(client_.At(name)));
  if (response.status == 404) return false;
  if (response.status != 200 && response.status != 206)
    return Result<bool>(Fail(client_.Explain(response, kGetObjects))).map_error(client_.At(name));
  if (Crc32c::Of(into) == piece.crc32c) return true;
  return Result<bool>(Fail(Code::kIo, "holds other bytes than were kept here",
                           "another program writes to this place: remove the unfinished run with "
                           "ckpt clean, and run again"))
      .map_error(client_.At(name));
}

Result<void> Scratch::Clear() {
  CKPT_TRY(std::vector<ObjectMeta> objects, client_.ListAll(folder_ + "/", {}));
  return RemoveObjects(client_, std::move(objects));
}

}  // namespace ckpt::gs

#include "store/gs/upload_list.h"

#include <fmt/format.h>

#include <pugixml.hpp>
#include <utility>

#include "base/text.h"

namespace ckpt::gs {

Result<UploadPage> ParseUploadPage(std::string_view xml) {
  const auto fail = [&](std::string_view what) {
    return Fail(Code::kUnavailable,
                fmt::format("a list of multipart uploads {}: {}", what, Excerpt(xml)),
                "is the endpoint a Cloud Storage service?");
  };
  pugi::xml_document document;
  const bool is_xml = static_cast<bool>(document.load_buffer(xml.data(), xml.size()));
  // An emulator without multipart uploads takes the request for one of the bucket's objects.
  if (is_xml && document.child("ListBucketResult")) return UploadPage{};
  const pugi::xml_node list = document.child("ListMultipartUploadsResult");
  if (!is_xml || !list) return fail("is none");
  UploadPage page;
  for (const pugi::xml_node& each : list.children("Upload")) {
    std::string object = each.child_value("Key");
    std::string id = each.child_value("UploadId");
    if (object.empty() || id.empty()) return fail("names none");
    page.uploads.push_back({std::move(object), std::move(id)});
  }
  if (std::string_view(list.child_value("IsTruncated")) != "true") return page;
  page.next_key = list.child_value("NextKeyMarker");
  page.next_id = list.child_value("NextUploadIdMarker");
  if (page.next_key.empty()) return fail("goes on nowhere");
  return page;
}

Result<std::vector<UnfinishedUpload>> ListUploads(Client& client, std::string_view prefix) {
  std::vector<UnfinishedUpload> uploads;
  UploadPage page;
  do {
    // Without encoding-type=url, of which it is not documented how it writes a space or a "+".
    std::string query = "uploads&prefix=" + http::PercentEncode(prefix);
    if (!page.next_key.empty())
      query += fmt::format("&key-marker={}&upload-id-marker={}", http::PercentEncode(page.next_key),
                           http::PercentEncode(page.next_id));
    CKPT_TRY(const http::Response response,
             client.Send(client.Xml("GET", "", std::move(query))).map_error(client.At(prefix)));
    if (response.status != 200)
      return Result<std::vector<UnfinishedUpload>>(Fail(client.Explain(response, kListUploads)))
          .map_error(client.At(prefix));
    CKPT_TRY(UploadPage next, ParseUploadPage(response.body).map_error(client.At(prefix)));
    if (!next.next_key.empty() && next.next_key == page.next_key && next.next_id == page.next_id)
      return Result<std::vector<UnfinishedUpload>>(
                 Fail(Code::kUnavailable, "the list of multipart uploads does not end",
                      "try again later"))
          .map_error(client.At(prefix));
    for (UnfinishedUpload& upload : next.uploads) {
      if (upload.object.starts_with(prefix)) uploads.push_back(std::move(upload));
    }
    page = std::move(next);
  } while (!page.next_key.empty());
  return uploads;
}

Result<void> AbortUpload(Client& client, const UnfinishedUpload& upload) {
  CKPT_TRY(const http::Response response,
           client
               .Send(client.Xml("DELETE", upload.object,
                                "uploadId=" + http::PercentEncode(upload.upload_id)))
               .map_error(client.At(upload.object)));
  if (response.status / 100 == 2 || response.status == 404) return {};
  return Result<void>(Fail(client.Explain(response, kAbortUploads)))
      .map_error(client.At(upload.object));
}

}  // namespace ckpt::gs

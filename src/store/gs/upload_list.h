#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/gs/client.h"

namespace ckpt::gs {

/// A multipart upload that nobody completed or aborted.
struct UnfinishedUpload {
  std::string object;  ///< whole name
  std::string upload_id;
  bool operator==(const UnfinishedUpload&) const = default;
};

/// A page of "GET ?uploads". The markers tell where the next one begins; both "": it is the last.
struct UploadPage {
  std::vector<UnfinishedUpload> uploads;
  std::string next_key;
  std::string next_id;
};
/// kUnavailable for what is no such page.
Result<UploadPage> ParseUploadPage(std::string_view xml);

/// All unfinished uploads of objects whose names begin with `prefix`. kDenied where the caller may
/// not list them.
Result<std::vector<UnfinishedUpload>> ListUploads(Client& client, std::string_view prefix);

/// One that is gone is success.
Result<void> AbortUpload(Client& client, const UnfinishedUpload& upload);

}  // namespace ckpt::gs

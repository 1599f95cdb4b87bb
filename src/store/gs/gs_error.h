#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "store/http/http.h"

namespace ckpt::gs {

/// The service's own words, from a JSON body {"error":{"code","message","errors":[{"reason"}]}} or
/// an XML body <Error><Code><Message>. Empty where there is neither.
struct ServiceError {
  std::string reason;
  std::string message;
};
ServiceError ParseServiceError(std::string_view body);

/// A 403 that only means "not so fast", and goes away.
bool IsRateLimit(const http::Response& response);

/// What was to be done: "create objects", "storage.objects.create".
struct Deed {
  std::string_view words;
  std::string_view permission;
};
inline constexpr Deed kGetObjects{"read objects", "storage.objects.get"};
inline constexpr Deed kListObjects{"list objects", "storage.objects.list"};
inline constexpr Deed kCreateObjects{"create objects", "storage.objects.create"};
inline constexpr Deed kDeleteObjects{"delete objects", "storage.objects.delete"};
inline constexpr Deed kUploadParts{"start multipart uploads", "storage.multipartUploads.create"};
inline constexpr Deed kListParts{"look at multipart uploads", "storage.multipartUploads.listParts"};
inline constexpr Deed kListUploads{"list multipart uploads", "storage.multipartUploads.list"};
inline constexpr Deed kAbortUploads{"abort multipart uploads", "storage.multipartUploads.abort"};

/// Who asked, and where.
struct Asker {
  std::string bucket;
  std::string principal;      ///< "": not known
  bool is_anonymous = false;  ///< no credentials were sent
};

/// The error of a final status that is no success. A 404 is read as a missing bucket: where an
/// object may be missing the caller looks first.
Error ExplainStatus(const http::Response& response, const Deed& deed, const Asker& asker);

}  // namespace ckpt::gs

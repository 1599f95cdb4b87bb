#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "store/gs/part_sink.h"

namespace ckpt::gs {

/// Starts an XML multipart upload to `object`. kDenied where the caller may not, or the service (an
/// emulator) has none: ComposeParts is then the other way.
Result<std::unique_ptr<PartSink>> StartXmlMultipart(Client& client, std::string object);
/// Goes on with one. kNotFound if it is gone.
Result<std::unique_ptr<PartSink>> ResumeXmlMultipart(Client& client, std::string object,
                                                     std::string upload_id);

/// The <UploadId> of an answer to "POST ?uploads". kUnavailable where there is none.
Result<std::string> ParseUploadId(std::string_view xml);
/// <CompleteMultipartUpload> of these ETags, part 1 first.
std::string PrintCompletion(std::span<const std::string> etags);

}  // namespace ckpt::gs

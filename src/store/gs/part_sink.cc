#include "store/gs/part_sink.h"

#include <fmt/format.h>

#include <utility>

#include "store/gs/compose_parts.h"
#include "store/gs/xml_multipart.h"

namespace ckpt::gs {

Result<std::unique_ptr<PartSink>> OpenPartSink(Client& client, const std::string& object,
                                               const std::string& temporary,
                                               std::string_view session, size_t parts) {
  if (!session.empty()) {
    CKPT_TRY(Session parsed, ParseSession(session).map_error(client.At(object)));
    if (parsed.is_composed)
      return MakeComposeParts(client, object, temporary, std::move(parsed.id), parts);
    return ResumeXmlMultipart(client, object, std::move(parsed.id));
  }
  Result<std::unique_ptr<PartSink>> started = StartXmlMultipart(client, object);
  if (started || started.error().code != Code::kDenied) return started;
  client.Warn(fmt::format(
      "{}; using temporary objects below {}/ and compose instead, which may cost early deletion",
      started.error().what, client.Print(temporary)));
  return MakeComposeParts(client, object, temporary, "", parts);
}

}  // namespace ckpt::gs

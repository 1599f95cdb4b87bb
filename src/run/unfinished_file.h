#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "run/journal.h"
#include "store/store.h"

namespace ckpt {

/// The state folder's note of the one unfinished file that all processes of a run fill.
inline constexpr std::string_view kUnfinishedName = "upload.json";

struct Unfinished {
  std::string object;  ///< its name once it is whole
  std::string session;
};
/// The note of a state folder; kNotFound where there is none, kIo where it is damaged.
Result<Unfinished> ReadUnfinished(Store& store, std::string_view state_name);

/// Opens the kept file `name` for one more process of the run: the one that the state folder tells
/// of, or a new one that it tells of from now on, whoever is faster. Where it tells of one that is
/// gone, or of none, what the journal says of bundles is void and is dropped. Returns kNotFound
/// where the file is gone because it stands under its name, whole.
Result<std::unique_ptr<PositionedWriter>> OpenUnfinishedFile(Store& store, Journal& journal,
                                                             std::string_view name,
                                                             uint64_t size_bytes,
                                                             const CreateOptions& options);

/// Removes the file that the state folder tells of, if any; the note stays.
Result<void> DropUnfinishedFile(Store& store, std::string_view state_name);

}  // namespace ckpt

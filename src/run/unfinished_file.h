#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "run/journal.h"
#include "run/output_files.h"
#include "store/store.h"

namespace ckpt {

/// The state folder's note of the unfinished files that all processes of a run fill.
inline constexpr std::string_view kUnfinishedName = "upload.json";

struct Unfinished {
  std::string object;  ///< its name once it is whole
  std::string session;
};
/// The note of a state folder; kNotFound where there is none, kIo where it is damaged.
Result<std::vector<Unfinished>> ReadUnfinished(Store& store, std::string_view state_name);

/// The kept files of a run, as one of its processes finds or makes them.
struct UnfinishedFiles {
  std::vector<std::string> sessions;  ///< by file
  std::unique_ptr<OutputFiles> files;
};

/// Opens the plan's files for one more process of the run: those that the state folder tells of, or
/// new ones that it tells of from now on, whoever is faster. Where it tells of one that is gone, or
/// of none, what the journal says of bundles is void and is dropped. Of several files one that
/// stands under its name, whole, takes nothing any more; an only one that does is kNotFound.
Result<UnfinishedFiles> OpenUnfinishedFiles(Store& store, Journal& journal, const Plan& plan);

/// Removes the files that the state folder tells of, if any; the note stays.
Result<void> DropUnfinishedFiles(Store& store, std::string_view state_name);

}  // namespace ckpt

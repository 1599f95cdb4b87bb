#pragma once

#include <array>
#include <string>

#include "cli/arguments.h"
#include "model/model.h"
#include "run/diff_plan.h"
#include "source/open.h"

namespace ckpt {

/// What the command line says of one of two checkpoints.
struct SideWords {
  std::string place;
  std::string config;  ///< a file; "" for what the checkpoint brings
  std::string rope_layout;
  std::string format;
};

/// One of them, opened as convert opens its source.
struct OpenedSide {
  SourcePlace place;
  Catalog catalog;
  Model model;
  std::string name;     ///< of the place, safe to print
  std::string reading;  ///< whose configuration was taken, where it is not its own: "that of A"

  DiffSide side() { return {place.store.get(), &catalog, &model}; }
};

/// "A", "B".
std::string SideName(size_t side);

/// Opens both and finds out what they are. A side is understood by its own configuration; where it
/// has none, or one that does not do, by the other's, as long as its tensors fit it; at last by its
/// shapes alone. A MaxText checkpoint does not say how its heads are turned, but the model that it
/// was made from does. Errors: those of stores, sources and models, with the side.
Result<std::array<OpenedSide, 2>> OpenSides(const std::array<SideWords, 2>& words,
                                            const std::array<Settings, 2>& settings);

}  // namespace ckpt

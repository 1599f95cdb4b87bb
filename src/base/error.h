#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ckpt {

/// What kind of failure. The code alone decides the exit status and whether a retry helps; no code
/// is parsed from text. The numbers are the exit statuses (sysexits.h), documented in
/// docs/exit-codes.md.
enum class Code : int {
  kUsage = 64,         ///< the arguments
  kBadInput = 65,      ///< the source is damaged, or of an unsupported form
  kNotFound = 66,      ///< the source is not there
  kUnavailable = 69,   ///< a service is down after all retries
  kInternal = 70,      ///< a promise of our own code is broken
  kResources = 71,     ///< the system refused memory, threads or files
  kCannotCreate = 73,  ///< the output cannot be made
  kIo = 74,            ///< a read or write failed
  kTemporary = 75,     ///< rate limit or quota: try again later
  kDenied = 77,        ///< refused: permission, licence
  kNoCredential = 78,  ///< a credential is missing or unreadable
  kInterrupted = 130,  ///< SIGINT
  kTerminated = 143,   ///< SIGTERM
};

/// The first words of the message: "source damaged", "output cannot be made", ...
std::string_view Describe(Code code);

/// The exit status of a program that ends with this code.
int ExitStatus(Code code);

/// One line of an error's place: "tensor", "model.norm.weight, bytes [0, 512)".
struct Place {
  std::string kind;
  std::string value;
  bool operator==(const Place&) const = default;
};

/// A failure: what, where (innermost first; each level adds only what it knows) and what to do
/// about it.
struct Error {
  Code code = Code::kInternal;
  std::string what;
  std::vector<std::string>
      details;  ///< further lines of `what`, for lists of everything that is wrong at once
  std::vector<Place> where;
  std::string remedy;

  /// The text that a user sees, several lines, without a trailing newline:
  ///   ckpt: source damaged: tensor data ends at byte 4949953792, the file at 4949953376
  ///     tensor  model.layers.30.mlp.up_proj.weight
  ///     file    /models/gemma/model-00003-of-00004.safetensors
  ///     remedy  fetch this shard again  (exit 65)
  std::string Print() const;
};

/// For map_error: adds one level of the place, in the stead of the same one that was told before.
///   return DecodeHeader(json).map_error(Where("file", uri));
std::function<Error(Error)> Where(std::string kind, std::string value);

}  // namespace ckpt

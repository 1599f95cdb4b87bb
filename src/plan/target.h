#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_range.h"
#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"
#include "model/model.h"
#include "source/catalog.h"

namespace ckpt {

/// How the stored elements of an array follow from its role's values.
enum class Encoding : uint8_t {
  kCast,          ///< the values, cast to the array's dtype
  kQuantRows,     ///< one scale per row of the [O, I] values (reduction over the last axis)
  kQuantColumns,  ///< one scale per column (reduction over all axes but the last)
  kQuantBlocks,   ///< values [O, I] become [I / 128, 128, O], one scale per block of 128 columns of
                  ///< a row
  kQuantGroups,   ///< codes of compressed-tensors: as ArraySpec::group says
  kScales,        ///< the scales of another array of the same output: a side value of its tiles
  kZeroPoints,    ///< the zero points of another array, packed down the rows: the same
  kConstant,      ///< bytes that the plan knows: ArraySpec::constant
};
/// Whether an array's bytes come from rows of the source; of others the committer makes them.
constexpr bool HasRows(Encoding encoding) { return encoding < Encoding::kScales; }

/// Quantization in groups: each group of so many rows and columns of the values [O, I] has a scale
/// (and a zero point) of its own; the last ones may be smaller.
struct GroupForm {
  bool is_float = false;  ///< fp8 E4M3, else integers
  int bits = 8;
  bool is_symmetric = true;
  bool is_quotient_rounded = false;  ///< the older arithmetic: kernel/compressed.h
  uint64_t rows = 1;
  uint64_t columns = 0;    ///< 0: all of them
  bool is_packed = false;  ///< codes fill 32-bit words, row by row; else one to a byte
  /// Groups of a row of so many elements.
  uint64_t GroupsOf(uint64_t row_elements) const {
    return columns == 0 ? 1 : (row_elements + columns - 1) / columns;
  }
  /// Rows that must be made together: those of a group, and those that meet in a word.
  uint64_t RowStep() const { return is_symmetric ? rows : 32 / static_cast<uint64_t>(bits); }
};

/// One output tensor.
struct ArraySpec {
  std::string name;
  DType dtype = DType::kBF16;
  Shape shape;  ///< as stored
  Encoding encoding = Encoding::kCast;
  int bits = 0;     ///< of a quantized array: 8 or 4, stored one to a byte
  size_t role = 0;  ///< index into Model::roles: where the values come from
  View view;  ///< role axes -> the values in C order, before the encoding rearranges them (not for
              ///< kScales)
  ValueProgram value;         ///< role values -> the values, before the encoding
  size_t scales_of = 0;       ///< kScales, kZeroPoints: index of the quantized array
  GroupForm group = {};       ///< kQuantGroups
  std::string constant = {};  ///< kConstant
  /// One index of a role axis: the array holds nothing else of the role, and `view` is without that
  /// axis.
  struct Part {
    size_t axis = 0;
    uint64_t index = 0;
  };
  std::optional<Part> part = {};
};

/// One contiguous file: a header, then arrays back to back. Files lie in one space of offsets, one
/// behind the other, each from a multiple of kIoAlignment: what a plan calls an offset is one of
/// that space.
struct FileSpec {
  std::string name;               ///< relative to the output's root
  std::string header;             ///< its first bytes, known from the plan alone
  std::vector<size_t> arrays;     ///< in file order: indexes into OutputSpec::arrays
  std::vector<uint64_t> offsets;  ///< of each, in the file
  uint64_t size_bytes = 0;
  uint64_t base = 0;  ///< offset of its first byte; set by the plan
  ByteRange range() const { return {base, base + size_bytes}; }
};

/// A small file beside the arrays: made text, or a source object copied byte for byte.
struct CompanionSpec {
  std::string name;
  std::optional<std::string> text;
  std::optional<ObjectInfo> source;
};

/// One requested output.
struct OutputSpec {
  std::string name;  ///< "bf16", "int8_per_channel"
  std::vector<ArraySpec> arrays;
  std::vector<FileSpec> files;  ///< at least one
  std::vector<CompanionSpec> companions;
  /// A text that makes a loader take the output for one, where that is none of the files: written
  /// last.
  std::optional<CompanionSpec> marker;
  std::vector<std::string> warnings;
  std::vector<std::string>
      how_to_load;  ///< what the server needs to be told, for the end of the run and the report

  uint64_t FileBytes() const;  ///< of all files
  /// What stands under its name only when all is whole: the marker, or the file.
  const std::string& LastName() const { return marker ? marker->name : files.back().name; }
};

/// What the user chose of a target.
struct TargetSettings {
  std::string quantize;             ///< a word of the target's quantizations(); "" for none
  bool is_dtype_preserved = false;  ///< keep F32 and F16 sources as they are (not with quantize)
  std::string model_name;           ///< --model, "" if not given
  uint64_t max_shard_bytes = 0;     ///< of one file, of targets that have several; 0: the target's
  std::vector<std::string> ignore = {};  ///< --ignore: modules that quantizing leaves out
  bool is_quotient_rounded = false;      ///< --ct-arithmetic cpu (kernel/compressed.h)
};

/// What targets of several files put into one, as transformers' save_pretrained did for years.
inline constexpr uint64_t kMaxShardBytes = 5'000'000'000;

/// A checkpoint format being written. Pure: answers what to write and where, never touches a store.
/// Stateless.
class Target {
 public:
  virtual ~Target() = default;
  virtual std::string_view name() const = 0;
  /// The words that --quantize takes here.
  virtual std::span<const std::string> quantizations() const = 0;
  /// Names of the small source files that this format carries along when the source has them
  /// (tokenizers).
  virtual std::span<const std::string> CompanionNames() const = 0;
  /// Which arrays, in which file layout. `source_files`: those of CompanionNames() that the source
  /// has. Errors: kUsage for a setting the model cannot have, kBadInput for shapes the format
  /// cannot hold; all at once.
  virtual Result<OutputSpec> Describe(const Model& model, const Catalog& catalog,
                                      std::span<const ObjectInfo> source_files,
                                      const TargetSettings& settings) const = 0;
  /// Whether the object named (relative to an output's root) is something a loader of this format
  /// would take for a checkpoint, so that a replaced output's old parts go first.
  virtual bool IsMarker(std::string_view object_name) const = 0;
};

}  // namespace ckpt

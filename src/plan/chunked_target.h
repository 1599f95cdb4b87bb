#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "base/shape.h"
#include "model/model.h"
#include "plan/grid.h"
#include "plan/target.h"
#include "source/catalog.h"

namespace ckpt {

/// How the elements of a chunked array follow from its roles' values.
enum class ChunkMaking : uint8_t {
  kCast,      ///< the values, after the cell's arithmetic, in the array's dtype
  kQuantize,  ///< one scale per index of the axes that are not reduced
  kScales,    ///< the scales of another array: one chunk, a side value of its bands
  kConstant,  ///< a few elements known from the plan
};

/// The element type of a quantized array; each is stored one to a byte.
enum class QuantType : uint8_t { kInt8, kInt4, kFp8E4M3 };

/// One step of a leaf's place in the tree.
struct PathKey {
  std::string name;
  bool is_sequence = false;  ///< the decimal index of a list, not a key of a map
  bool operator==(const PathKey&) const = default;
};
/// "params/params/step": for people and reports.
std::string JoinPath(std::span<const PathKey> path);

/// One output array, cut into a grid of chunks.
struct ChunkedArray {
  std::vector<PathKey> path;
  std::string name;  ///< JoinPath(path)
  DType dtype = DType::kBF16;
  std::optional<QuantType> quant;  ///< of kQuantize; dtype is then that of its bytes
  Shape shape;
  std::vector<uint64_t> chunk;  ///< extents, one per axis
  ChunkMaking making = ChunkMaking::kCast;
  size_t scales_of = 0;    ///< kScales: index of the quantized array in the same output
  size_t scales = 0;       ///< kQuantize: index of its scales
  std::string bytes;       ///< kConstant: the elements
  bool is_scalar = false;  ///< a number of the host language, not an array of the device
};

/// What one role gives to one array: all of it, or its place at one index of the layer axis.
struct ChunkedSlice {
  size_t role = 0;                 ///< index into Model::roles
  size_t array = 0;                ///< index into ChunkedOutput::arrays
  View view;                       ///< role axes -> the array; the offset includes the layer
  std::vector<Axis> tensor_axes;   ///< of the array, named
  std::vector<size_t> array_axis;  ///< by role axis: the axis of the array that it lies in
  std::optional<size_t> layer_axis;
  uint64_t layer_index = 0;
  std::vector<uint64_t> reduce;  ///< kQuantize: role axes that share a scale
  ValueProgram value;            ///< source values -> stored values
};

/// A node of the tree without data.
struct Placeholder {
  std::vector<PathKey> path;
  std::string kind;  ///< "Dict", "List", "None"
};

/// How the bytes of a chunk are stored.
enum class ChunkCodec : uint8_t {
  kPlain,   ///< as they are
  kCrc32c,  ///< followed by their CRC-32C, 4 bytes little endian
  kZstd,    ///< one zstd frame with a content checksum
};

/// One requested output: a tree of arrays below `root`.
struct ChunkedOutput {
  std::string name;   ///< "scanned", "int8"
  std::string root;   ///< of the whole output, relative to the store: "bf16/scanned/0"
  std::string items;  ///< of the tree, below root: "items", or "" where root is the tree itself
  std::vector<ChunkedArray> arrays;
  std::vector<ChunkedSlice> slices;  ///< in canonical order of roles
  std::vector<Placeholder> placeholders;
  ChunkCodec codec = ChunkCodec::kCrc32c;
  bool is_object_per_chunk = false;       ///< each chunk is an object of its own (Pathways)
  std::vector<CompanionSpec> companions;  ///< relative to the store's root
  std::vector<std::string> how_to_load;
};

/// What the user chose.
struct ChunkedSettings {
  std::vector<std::string> outputs;  ///< names, as given
  std::string default_root;          ///< of outputs without a path of their own: "" or "folder"
  std::map<std::string, std::string> roots;  ///< --output NAME=PATH, relative to the store's root
  bool is_f32 = false;                       ///< --dtype float32
  std::string compression;                   ///< "" or "zstd:1"
  std::string layout;                        ///< "" (OCDBT, zarr v3) or "pathways"
  std::string quant_layout;                  ///< "" or "linen", or "nnx"
  std::string rope_layout;                   ///< --rope-layout, for the digest
  std::string model_name;
  Mesh mesh;
};

/// Where a chunk of an output lies.
struct ChunkPlace {
  uint32_t bundle = 0;  ///< the data file
  uint64_t offset = 0;
  uint64_t length = 0;  ///< stored bytes
  uint32_t crc32c = 0;  ///< of them
};

/// An object that the commit writes, made piece by piece.
struct CommitObject {
  std::string name;  ///< below the output's root
  std::function<Result<void>(const std::function<Result<void>(std::span<const std::byte>)>&)>
      produce;
  bool is_final = false;  ///< small, and part of what makes readers accept the output: comes after
                          ///< everything else, the report included
};

struct ChunkedPlan;

/// A format of chunked arrays being written. Pure and stateless: says what to write and in which
/// order, never touches a store.
class ChunkedTarget {
 public:
  virtual ~ChunkedTarget() = default;
  virtual std::string_view name() const = 0;
  /// The words that --outputs takes here.
  virtual std::span<const std::string> OutputNames() const = 0;

  /// Which outputs with which arrays. Warnings go to `warnings`. Errors: kUsage for settings the
  /// model cannot have.
  virtual Result<std::vector<ChunkedOutput>> Describe(const Model& model,
                                                      const ChunkedSettings& settings,
                                                      std::vector<std::string>& warnings) const = 0;

  /// The data file of a bundle, below the output's root. Derived from the layout digest alone.
  virtual std::string DataFileName(const ChunkedPlan& plan, size_t output,
                                   uint32_t bundle) const = 0;
  /// The object of one chunk where the output has one object per chunk, below the output's root.
  virtual std::string ChunkObjectName(const ChunkedOutput& output, size_t array,
                                      uint64_t chunk) const = 0;
  /// The numbers of an array's chunks in the bytewise order of their keys.
  virtual std::vector<uint64_t> KeyOrder(const ChunkedOutput& output, size_t array) const = 0;
  /// A compressed chunk (ChunkCodec::kZstd): the most bytes it takes, and the chunk itself, into
  /// the front of `out`; its size. The bytes depend on the chunk alone.
  virtual uint64_t PackedBound(uint64_t chunk_bytes) const = 0;
  virtual Result<uint64_t> Pack(std::span<const std::byte> chunk,
                                std::span<std::byte> out) const = 0;
  /// What makes the data files a checkpoint, in the order in which it must become durable.
  /// `places`: of array a, chunk c (C order) at places[first[a] + c]. Both must outlive the use of
  /// the result.
  virtual std::vector<CommitObject> CommitObjects(const ChunkedPlan& plan, size_t output,
                                                  std::span<const ChunkPlace> places,
                                                  std::span<const uint64_t> first) const = 0;
  /// What follows the root's name while it is being written: "orbax-checkpoint-tmp-<digits>".
  virtual std::string TemporarySuffix(const ChunkedPlan& plan) const = 0;
  /// The object below an output's root that is written last of all.
  virtual std::string_view DoneName() const = 0;
  /// Objects below an output's root that a loader looks for, most decisive first; so that a
  /// replaced output stops being one before anything else goes.
  virtual bool IsMarker(std::string_view object_name) const = 0;
};

}  // namespace ckpt

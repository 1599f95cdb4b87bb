#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"
#include "format/zarr/meta.h"
#include "store/store.h"

namespace ckpt {

/// Per axis of a tensor the interval [begin, end).
struct Box {
  std::vector<uint64_t> begin;
  std::vector<uint64_t> end;
  bool operator==(const Box&) const = default;
};

/// A box of a logical tensor that lies in one object.
/// Element (i0, i1, ...) of the tensor, for begin <= i < end, is at
///   offset_bytes + sum over axes of (i_k - begin_k) * byte_strides[k].
/// Block types (GGUF): the last axis has no stride of its own; byte_strides.back() is the bytes of
/// one block, and the box's borders on that axis are block borders. The sub-byte types (F4, F6) are
/// such types too; where their rows end inside a byte (last axis no whole blocks), byte_strides is
/// empty: such a tensor can only be read whole, in C order.
struct Piece {
  Box box;
  uint32_t object = 0;  ///< index into Catalog::objects
  uint64_t offset_bytes = 0;
  std::vector<uint64_t> byte_strides;
};

/// StoredChunk::object of a chunk whose bytes lie in ChunkedTensor::inline_bytes.
inline constexpr uint32_t kInlineChunk = UINT32_MAX;

/// Where the encoded bytes of one chunk lie.
struct StoredChunk {
  uint32_t object = 0;  ///< index into Catalog::objects, or kInlineChunk
  uint64_t offset = 0;
  uint64_t length = 0;  ///< 0: not stored, all of it is the fill value
  bool operator==(const StoredChunk&) const = default;
};

/// A tensor stored as a grid of encoded chunks (zarr).
struct ChunkedTensor {
  Shape chunk;                      ///< meta.chunk
  std::vector<StoredChunk> chunks;  ///< C order of ZarrGrid(meta)
  ZarrArrayMeta meta;               ///< codecs and fill value; dtype and shape are the tensor's
  std::string inline_bytes;         ///< small chunks may lie in the index itself
};

/// How stored elements differ from the tensor's values. BoxReader and TensorStream undo it
/// (ToPlain, element_form.h).
struct ElementForm {
  bool is_big_endian = false;
  bool is_conjugated = false;  ///< C64: the stored imaginary part has the other sign
  bool is_negated = false;     ///< float and complex types: the stored number has the other sign
  bool IsPlain() const { return !is_big_endian && !is_conjugated && !is_negated; }
  bool operator==(const ElementForm&) const = default;
};

/// One tensor of a source, under its own name there.
struct TensorEntry {
  std::string name;
  DType dtype = DType::kBF16;
  Shape shape;
  uint64_t size_bytes = 0;    ///< of the C-order tensor
  std::vector<Piece> pieces;  ///< together cover the shape exactly, without overlap
  /// Null: pieces say where it lies; else there are no pieces. Shared and never changed: catalogs
  /// are copied, and a table of chunks may be large.
  std::shared_ptr<const ChunkedTensor> chunked = nullptr;
  ElementForm form = {};  ///< of the pieces' elements
};

/// Bytes of an object whose checksum is known beforehand. Held against what is read of the object
/// (source_checks.h).
struct StoredCheck {
  enum class Kind : uint8_t {
    kCrc32,   ///< of a record, from a zip archive's directory
    kCrc32c,  ///< of a whole object, from a bucket
  };
  std::string name;     ///< of the record, "archive/data/0"; "" for a whole object
  uint32_t object = 0;  ///< index into Catalog::objects
  ByteRange range;
  uint32_t sum = 0;
  Kind kind = Kind::kCrc32;
};

using ConfigValue = std::variant<bool, int64_t, double, std::string>;

/// What a source says of its model: config.json ("hf"), params.json ("meta") or GGUF's keys
/// ("gguf"). Nested JSON keys are joined with '.' ("rope_scaling.rope_type"), list items by index
/// ("architectures.0"), and each list's length stands under its own key + ".length". GGUF arrays
/// give only "KEY.length" (vocabularies are long).
struct SourceConfig {
  std::string kind;
  std::string object;  ///< "config.json"
  std::map<std::string, ConfigValue> values;
  std::string text;  ///< the JSON file verbatim; empty for GGUF
};

/// A source's tensors and where their bytes lie. Plain data; its memory is part of the budget's
/// fixed share.
struct Catalog {
  /// "safetensors", "safetensors-index", "gguf", "orbax", "torch-zip", "torch-legacy",
  /// "torch-index" or "meta-consolidated"
  std::string format;
  Uri root;  ///< the store's
  std::vector<ObjectInfo> objects;
  std::vector<TensorEntry> tensors;  ///< sorted by name, byte-wise
  /// Model-parallel shards ("meta-consolidated"): of each its tensors, sorted by name, the same
  /// names in all. `tensors` is then empty until model/shards.h has joined them: which axis a
  /// tensor is cut along is known to its family alone.
  std::vector<std::vector<TensorEntry>> shards;
  std::vector<StoredCheck> checks;  ///< by object and range, disjoint
  std::vector<SourceConfig> configs;
  std::map<std::string, std::string>
      metadata;  ///< safetensors' __metadata__ of the first shard, for inspect
  /// Orbax: leaves without data, name -> type ("params/opt" -> "None"), for inspect.
  std::map<std::string, std::string> empty_leaves;
  std::vector<std::string> warnings;  ///< said to the user, none of them stops
  /// What the source offers to be held to and is not, with the reason. For the report.
  std::vector<std::string> unverified;
  uint64_t header_bytes = 0;  ///< bytes read to make this catalog
};

/// Adds the checksums that the store has of whole objects, where none of parts of them are known.
void AddObjectChecks(Catalog& catalog);

/// Bytes that this catalog occupies, for the budget.
uint64_t MemoryBytes(const Catalog& catalog);

/// Strides of a C-order tensor as Piece says them; empty for a scalar and for rows that end inside
/// a byte.
std::vector<uint64_t> RowMajorStrides(DType dtype, const Shape& shape);

/// A tensor that lies whole, in C order, in `data` of one object. data.size() is its size.
TensorEntry ContiguousEntry(std::string name, DType dtype, Shape shape, uint32_t object,
                            ByteRange data);

/// Whether the tensor lies whole and in C order in one object (as all of safetensors and GGUF do;
/// never where it is chunked).
bool IsContiguous(const TensorEntry& tensor);

/// Whether the bytes of each piece are its box in C order: so are those of all formats but
/// PyTorch's views (transposed, expanded, every second column). False where it is chunked.
bool HasDensePieces(const TensorEntry& tensor);

/// Bytes that a tensor takes in its objects: of all stored chunks, or size_bytes.
uint64_t StoredBytes(const TensorEntry& tensor);

/// Puts the tensors in their order. Errors: kBadInput for a name twice, naming both objects.
Result<void> SortTensors(Catalog& catalog);

/// "FILE": where an object of the catalog is, safe to print.
std::string PrintObject(const Catalog& catalog, uint32_t object);

}  // namespace ckpt

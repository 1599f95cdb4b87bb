#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "base/result.h"
#include "model/expr.h"
#include "model/layout.h"
#include "model/pattern.h"
#include "model/value_expr.h"

namespace ckpt {

/// A role in one naming scheme, as the table says it.
struct Cell {
  std::string scheme;
  NamePattern name;    ///< without the selection
  std::string choice;  ///< the named choice ("rope") that its layout leaves open, or ""
  /// One layout per value of the choice, in the order of their names; a single one under "" without
  /// a choice.
  std::vector<std::pair<std::string, Layout>> layouts;
  std::optional<size_t> shard_axis;  ///< of the tensor, along which model-parallel shards are cut
  std::string quantize;              ///< class of quantization: "linear", "embedding" or ""
  std::vector<std::string> reduce;   ///< role axes over which its quantizer reduces
  std::optional<ValueExpr> value;    ///< role values -> stored values
  /// The role axis that numbers the cell's tensors: "x" where the name has "{x}" and the layout no
  /// x.
  std::string parts_axis;
  /// The name in the unscanned form of the scheme, where layers are not stacked.
  std::optional<NamePattern> unscanned;
  std::optional<int64_t> constant;  ///< of every element, where there is no source
  DType constant_type = DType::kI64;
  std::string empty_kind;    ///< "Dict" for a node without values, else ""
  std::optional<Expr> when;  ///< the cell holds for layers where this is not 0
  bool is_optional = false;  ///< a source may lack the tensor

  /// No source has it: a constant or an empty node.
  bool IsConstant() const { return constant || !empty_kind.empty(); }
};

/// A role that shares another's tensor where its own is absent and the configuration says so.
struct Tie {
  std::string role;  ///< "token_embedding"
  /// By kind of configuration: whether an absent tensor means tied, or the key of the boolean that
  /// says it.
  std::map<std::string, std::variant<bool, std::string>> by_config;
};

/// One logical tensor; one per layer where its role has "{l}".
struct Row {
  NamePattern role;  ///< "layer.{l}.attention.q"
  std::vector<std::string>
      axes;  ///< canonical order: of the hf cell, else of the first; the first is the band axis
  std::optional<Tie> tied;
  std::string
      together;  ///< neighbours with the same word are read together: "qkv", "gate_up"; "" for none
  std::vector<Cell> cells;  ///< in the order of the table; several of one scheme differ in `when`
  uint32_t line = 0;

  /// All cells of a row are constant, or none.
  bool IsConstant() const { return !cells.empty() && cells[0].IsConstant(); }
};

/// Where a dimension's value comes from: the first of these that tells it.
struct DimRule {
  std::string name;
  std::optional<uint64_t> constant;
  std::optional<Expr> expr;  ///< of other dimensions; exact
  std::map<std::string, std::vector<std::string>>
      keys;  ///< by kind of configuration; -1 counts as absent
  /// By scheme ("" for any): role whose tensor has the axis for itself. For L: whose names or stack
  /// count the layers.
  std::map<std::string, std::string> shape;
  std::string served;            ///< dimension that is taken as the served model has it
  std::optional<Expr> fallback;  ///< "default": of other dimensions; exact
};

/// Something else worth knowing of a model, as text.
struct FactRule {
  std::string name;
  std::map<std::string, std::vector<std::string>> keys;  ///< by kind of configuration
  std::map<std::string, std::string>
      values;  ///< what a configuration's value is called here; others stay
  std::map<std::string, std::string>
      tensors;           ///< the fact's value where the source has this tensor; goes before keys
  std::string fallback;  ///< "default"
};

/// What a server must be told of a value of a choice.
struct ServerFlag {
  std::string flag;        ///< "rope_type=llama3.1"
  std::string implied_by;  ///< how the names of models begin to which it goes without saying; or ""
};

/// A named choice of layouts, such as the rotary order: decided by the fact of its name, else by
/// the served model, by another fact, or by the default.
struct Choice {
  std::string fallback;
  std::map<std::string, std::string> values;  ///< name -> layout terms: "half" -> "(p t)"
  std::string axis;                           ///< what its terms are together: "d"; "" if nothing
  std::vector<std::string> axes;              ///< of its terms, the same for all values: p, t
  /// Fact -> its value -> value of the choice.
  std::map<std::string, std::map<std::string, std::string>> facts;
  std::map<std::string, std::string> says;         ///< by value: what a user should know of it
  std::map<std::string, ServerFlag> server_flags;  ///< by value
};

/// A model that the server knows by name.
struct ServedModel {
  std::string name;  ///< "llama3.1-8b"
  Dims dims;         ///< sizes that the server's own configuration has
  std::map<std::string, std::string> facts;
  std::vector<std::string> cut;      ///< dimensions of which a source may have more
  std::vector<std::string> resized;  ///< dimensions of which it may have more or less
  /// Choice -> scheme of the source ("" for any other) -> value.
  std::map<std::string, std::map<std::string, std::string>> choices;
  std::string note;  ///< for the user who converts under this name
  uint32_t line = 0;
};

/// Source tensors that have no role: ignored for a reason, or refused with a message.
struct NameRule {
  std::string scheme;
  std::string name;  ///< with "*"
  std::string text;
};

/// Configuration keys that tell the family. The first key that a configuration has decides.
struct DetectRule {
  std::string key;  ///< "architectures" (a list or one string), "general.architecture"
  std::vector<std::string> values;
};

/// What a table says, checked for everything that one cell, row or rule can show by itself.
/// A word of the container's --model_name.
struct ContractName {
  std::string name;                ///< "llama-3.1"
  std::string prefix;              ///< "llama3.1-": of MaxText's names
  std::vector<std::string> sizes;  ///< in the order in which a path is searched; behind the prefix
  /// Repositories are in Meta's form unless this is in their path; "" for never.
  std::string meta_unless;
};

/// What the container's contract knows of a family (docs/entrypoint.md).
struct ContractRules {
  std::string title;            ///< "Llama"; in lower case the word that a path is searched for
  bool is_from_kaggle = false;  ///< released there, and placed by its handle; else by Meta's URL
  bool is_assumed = false;      ///< without a name, jetstream-pytorch takes a model for this
  bool has_params = false;      ///< params.json comes with a repository in Hugging Face's form
  std::vector<ContractName> names;
};

struct FamilyTable {
  std::string name;
  std::string description;
  std::string file;  ///< where the table was read
  std::vector<std::string> schemes;
  std::map<std::string, std::string> unscanned_of;        ///< "maxtext-unscanned" -> "maxtext"
  std::vector<ServedModel> served;                        ///< the first that fits a source names it
  std::map<std::string, std::vector<DetectRule>> detect;  ///< by kind of configuration
  std::vector<DimRule> dims;                              ///< each after those it needs
  std::vector<FactRule> facts;
  std::map<std::string, Choice> choices;
  std::vector<Row> rows;  ///< canonical order
  std::vector<NameRule> ignored;
  std::vector<NameRule> refused;
  /// Outputs (`name`: "int8_blockwise") of a target (`scheme`) that no server loads, and why.
  std::vector<NameRule> unserved;
  std::optional<ContractRules> contract;  ///< nothing where the contract does not know the family

  bool HasScheme(std::string_view scheme) const;
  /// nullptr where no row has this role.
  const Row* FindRow(std::string_view role_pattern) const;
};

/// A family of models: its roles and how each naming scheme spells and lays them. Immutable.
class Family {
 public:
  /// The language is described in models/README.md.
  /// Errors: kBadInput with file, line and key; all faults at once.
  static Result<std::shared_ptr<const Family>> Parse(std::string_view toml,
                                                     const std::string& file);

  const std::string& name() const { return table_.name; }
  const std::string& description() const { return table_.description; }
  const std::string& file() const { return table_.file; }
  const std::vector<std::string>& schemes() const { return table_.schemes; }
  const std::vector<Row>& rows() const { return table_.rows; }
  const FamilyTable& table() const { return table_; }

  bool HasScheme(std::string_view scheme) const { return table_.HasScheme(scheme); }
  /// The scheme of which this is the unscanned form; itself for all others.
  std::string BaseScheme(const std::string& scheme) const;
  /// The role of a shape rule for this scheme, or nullptr.
  const Row* FindShapeRow(const DimRule& rule, const std::string& scheme) const;
  const Row* FindRow(std::string_view role_pattern) const { return table_.FindRow(role_pattern); }
  /// The cell of a row that holds in this scope; nullptr where the row has none in the scheme.
  Result<const Cell*> FindCell(const Row& row, std::string_view scheme, const Scope& scope) const;
  /// The layout of a cell under the choices that `facts` decide. kBadInput for a fact that is no
  /// value of the choice.
  Result<const Layout*> FindLayout(const Cell& cell,
                                   const std::map<std::string, std::string>& facts) const;

 private:
  explicit Family(FamilyTable table) : table_(std::move(table)) {}
  FamilyTable table_;
};

/// The axes of a row with their extents. kInternal if a dimension is missing.
Result<std::vector<Axis>> AxesOf(const Row& row, const Dims& dims);

/// What `ckpt families --check` proved of a table.
struct FamilyProof {
  size_t rows = 0;
  size_t schemes = 0;
  size_t pairs = 0;       ///< ordered pairs of cells of one row
  uint64_t elements = 0;  ///< that made the round trip
  size_t models = 0;      ///< small models of random dimensions that were tried
  /// Whose condition (`when`) held in none of them: nothing is proved there.
  size_t unused_cells = 0;
};

/// Proves a table on small models of random dimensions, whose elements are distinct numbers: every
/// cell's view is injective, cells without a selection are bijections, no element of a tensor is
/// claimed by two rows or by none (zeros that pad an axis excepted), and a model that goes from any
/// scheme to any other and back is the same, as far as resized axes keep it. Values come back bit
/// for bit from arithmetic that IsExact, and to within its rounding from other.
/// Errors: kBadInput with all faults at once.
Result<FamilyProof> CheckFamily(const Family& family);

}  // namespace ckpt

#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/environment.h"
#include "base/secret.h"
#include "cli/entrypoint/words.h"

namespace ckpt::contract {

enum class Server { kMaxText, kPytorch };

/// Where the weights come from. What it names is settled by the arguments alone.
struct Source {
  enum class Kind { kKaggle, kHuggingface, kMeta, kDirectory };
  Kind kind = Kind::kDirectory;
  std::string name;        ///< handle, repository, model id; or path, as given
  std::string mounted_at;  ///< of a directory in a bucket: where the bucket may be mounted; or ""
};
/// "kaggle", "huggingface", "meta", "directory".
std::string_view Name(Source::Kind kind);

/// One thing that a run leaves.
struct Output {
  std::string role;  ///< "scanned", "unscanned", "quantized"; "weights", "params", "tokenizer"
  std::string path;  ///< gs:// or local; slashes collapsed
  /// What users wait for, and what is said just before it; said once the output is committed.
  std::string final_line = {};
  std::string line_before = {};
};

/// What an argument list means: all that is known before any store is touched.
struct Contract {
  Server server = Server::kMaxText;
  Source source;
  std::optional<Source> otherwise;  ///< taken where `source` holds no model
  std::string base_copy;  ///< gs://B/base/N, read instead of Kaggle if it is complete; or ""
  std::string family;
  std::string model;       ///< MaxText's name, "llama3.1-8b"; "" for PyTorch, or where files decide
  std::string model_name;  ///< the word of --model_name, or what the path tells
  std::string quantize;    ///< "" for none
  std::string bucket;      ///< bare name
  std::string folder;      ///< common folder of all outputs; gs:// or local
  std::string
      state_name;  ///< of this run's folder below .ckpt-state, where the folder is shared; or ""
  std::vector<Output> outputs;  ///< those asked for, in the order of commit
  std::vector<std::string> opening_lines;
  std::vector<std::string> warnings;
  std::vector<std::string> notices;
  Secret meta_url;
  std::string meta_url_file;

  /// What `ckpt convert` calls the output: the quantized one goes by its type.
  const std::string& ConvertName(const Output& output) const {
    return output.role == "quantized" ? quantize : output.role;
  }

  bool is_explaining = false;
  bool is_dry_run = false;
  bool is_overwriting = false;
  bool is_verifying_resume = false;
  bool is_anonymous = false;
  bool keeps_base = false;
};

/// Settles what the words mean; everything that is wrong goes to `faults`. Touches nothing but the
/// environment's variables.
Contract Interpret(const Words& words, const Environment& environment, Faults& faults);

/// One object with the keys server, source, family, model, quantize, outputs, base_copy, wait_for,
/// warnings.
std::string ExplainJson(const Contract& contract);
/// {"error": {"exit_code", "what", "details", "remedy"}}.
std::string ExplainJson(const Error& error);

}  // namespace ckpt::contract

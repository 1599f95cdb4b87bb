#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/entrypoint/contract.h"
#include "cli/entrypoint/names.h"

namespace ckpt::contract {

inline constexpr std::string_view kMetaPage = "https://www.llama.com/llama-downloads/";
inline constexpr std::string_view kReplacePlaceholder =
    "replace the placeholder in the manifest; Kubernetes expands $(NAME) of the container's env "
    "only";

/// Settles one argument list: words -> contract. The work of Interpret(); one file for what both
/// servers share, one for each server, one for what is said.
class Interpreter {
 public:
  /// All three outlive this.
  Interpreter(const Words& words, const Environment& environment, Faults& faults)
      : words_(words), environment_(environment), faults_(faults) {}
  Contract Run();

 private:
  // contract.cc: what both servers share.
  bool Boolean(Flag flag);
  void Warn(std::string text) { contract_.warnings.push_back(std::move(text)); }
  bool SettleServer();
  void CheckBucketName(Flag flag, std::string_view bucket);
  void SettleBucket(bool is_server_known);
  void CheckPlace(Flag flag, const std::string& place);
  void SettleMetaUrl();
  bool HasMetaUrl() const {
    return !contract_.meta_url.empty() || !contract_.meta_url_file.empty();
  }
  void SettleQuantize();
  void NarrowOutputs();
  void UnknownName();
  void NoRepository();
  void NoOutput();
  static Source Directory(const std::string& place, const std::string& mount);
  void TakeSource(std::optional<Source> source);
  void Add(std::string role, std::string path);

  // maxtext.cc
  void SettleMaxText();
  void SettleOfMeta(const KnownFamily& family, const NamedModel* named);
  void SettleSourceOfMeta();
  void PlaceBelowOutput();
  void SettleOfKaggle(const KnownFamily& family, const NamedModel* named);
  void PlaceBelowBucket(const std::string& place, const std::string& title, bool is_kaggle);
  bool IsDirectoryOnly() const;

  // pytorch.cc
  void SettlePytorch();
  bool IsInMetaForm() const;
  /// nullptr for a family that the contract knows by its name alone.
  const KnownFamily* SettlePytorchFamily();

  // lines.cc
  void Say();

  const Words& words_;
  const Environment& environment_;
  Faults& faults_;
  Contract contract_;
  const KnownFamily* family_ = nullptr;  // nullptr while none is known, or by its name alone
  std::string path_;                     // --model_path
  std::string input_;                    // --input_directory
  std::string output_;                   // --output_directory
  std::string name_;                     // --model_name
  bool is_huggingface_ = false;
  bool is_quantizing_ = false;
  bool has_source_ = false;
  std::string quantized_below_;   // what comes before and behind the type in the path of the
  std::string quantized_behind_;  // quantized output; "" where there is none
};

/// OWNER/MODEL/FRAMEWORK/VARIATION, with /VERSION or without.
bool IsKaggleHandle(const std::vector<std::string>& parts);
/// ORGANISATION/NAME.
bool IsRepository(const std::vector<std::string>& parts);

}  // namespace ckpt::contract

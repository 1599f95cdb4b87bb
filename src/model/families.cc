#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "model/embedded.h"
#include "model/family.h"
#include "model/model.h"

namespace ckpt {
namespace {

constexpr size_t kMaxTableBytes = size_t{1} << 20;  // a table is text written by people

Result<std::string> ReadText(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string text;
  if (stream) {
    text.resize(kMaxTableBytes + 1);
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<size_t>(stream.gcount()));
  }
  if (stream.bad() || (!stream.eof() && text.empty())) {
    return Fail(Error{Code::kUsage,
                      "this family table cannot be read",
                      {},
                      {{"file", file}},
                      "name a readable .toml file"});
  }
  if (text.size() > kMaxTableBytes) {
    return Fail(Error{Code::kUsage,
                      fmt::format("a family table of over {} bytes", kMaxTableBytes),
                      {},
                      {{"file", file}},
                      "name a family table (.toml)"});
  }
  return text;
}

Result<std::vector<std::shared_ptr<const Family>>> ParseEmbedded() {
  std::vector<std::shared_ptr<const Family>> families;
  for (const EmbeddedTable& table : EmbeddedTables()) {
    CKPT_TRY(std::shared_ptr<const Family> family,
             Family::Parse(table.toml, std::string(table.file)));
    families.push_back(std::move(family));
  }
  return families;
}

}  // namespace

Result<std::vector<std::shared_ptr<const Family>>> LoadFamilies(
    std::span<const std::string> files) {
  static const auto& embedded = *new auto(ParseEmbedded());  // once: it takes milliseconds
  CKPT_TRY(std::vector<std::shared_ptr<const Family>> families, embedded);
  for (const std::string& file : files) {
    CKPT_TRY(const std::string text, ReadText(file));
    CKPT_TRY(std::shared_ptr<const Family> family, Family::Parse(text, file));
    const auto same = std::find_if(families.begin(), families.end(), [&](const auto& known) {
      return known->name() == family->name();
    });
    if (same == families.end()) {
      families.push_back(std::move(family));
    } else {
      *same = std::move(family);
    }
  }
  return families;
}

}  // namespace ckpt

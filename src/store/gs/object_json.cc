#include "store/gs/object_json.h"

#include <array>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <span>

#include "base/base64.h"
#include "base/json_text.h"
#include "base/text.h"

namespace ckpt::gs {
namespace {

using Json = nlohmann::json;

std::string TextAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

tl::unexpected<Error> FailAnswer(std::string_view what, std::string_view json) {
  return Fail(Code::kUnavailable,
              "Cloud Storage answered with " + std::string(what) + ": " + Excerpt(json),
              "is the endpoint a Cloud Storage service? Else try again later");
}

// The API prints 64-bit numbers as strings.
template <class T>
bool ParseDecimal(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::optional<ObjectMeta> ObjectFrom(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  ObjectMeta meta;
  meta.name = TextAt(json, "name");
  meta.generation = TextAt(json, "generation");
  uint64_t generation = 0;
  if (meta.name.empty() || !ParseDecimal(meta.generation, generation) ||
      !ParseDecimal(TextAt(json, "size"), meta.size_bytes))
    return std::nullopt;
  if (const auto crc = ParseCrc32c(TextAt(json, "crc32c"))) {
    meta.crc32c = Crc32c(*crc, meta.size_bytes);
  }
  meta.modified_ns = ParseTime(TextAt(json, "updated"));
  meta.content_encoding = TextAt(json, "contentEncoding");
  return meta;
}

}  // namespace

Result<ObjectMeta> ParseObject(std::string_view json) {
  auto meta = ObjectFrom(ParseJson(json));
  if (!meta) return FailAnswer("no description of an object", json);
  return *std::move(meta);
}

Result<ListPage> ParseListPage(std::string_view text) {
  const Json json = ParseJson(text);
  if (!json.is_object()) return FailAnswer("no list of objects", text);
  ListPage page;
  page.next_page_token = TextAt(json, "nextPageToken");
  const auto entries = json.find("items");
  if (entries == json.end()) return page;
  if (!entries->is_array()) return FailAnswer("no list of objects", text);
  for (const Json& entry : *entries) {
    auto meta = ObjectFrom(entry);
    if (!meta) return FailAnswer("a list with something that is no object", text);
    page.objects.push_back(*std::move(meta));
  }
  return page;
}

std::string PrintCrc32c(const Crc32c& crc32c) {
  const uint32_t value = crc32c.value();
  const std::array<std::byte, 4> bytes = {
      static_cast<std::byte>(value >> 24U), static_cast<std::byte>(value >> 16U),
      static_cast<std::byte>(value >> 8U), static_cast<std::byte>(value)};
  return EncodeBase64(bytes);
}

std::optional<uint32_t> ParseCrc32c(std::string_view text) {
  const auto bytes = DecodeBase64(text);
  if (!bytes || bytes->size() != 4) return std::nullopt;
  uint32_t value = 0;
  for (const char c : *bytes) value = (value << 8U) | static_cast<unsigned char>(c);
  return value;
}

int64_t ParseTime(std::string_view text) {
  // "YYYY-MM-DDThh:mm:ss", then a fraction, then "Z" or an offset.
  constexpr std::string_view form = "0000-00-00T00:00:00";
  if (text.size() <= form.size()) return 0;
  const auto number = [&](size_t at, size_t count) {
    int value = -1;
    return ParseDecimal(text.substr(at, count), value) ? value : -1;
  };
  for (size_t i = 0; i < form.size(); ++i) {
    if (form[i] != '0' && text[i] != form[i]) return 0;
  }
  const std::array parts = {number(0, 4),  number(5, 2),  number(8, 2),
                            number(11, 2), number(14, 2), number(17, 2)};
  for (const int part : parts) {
    if (part < 0) return 0;
  }
  const std::chrono::year_month_day day{std::chrono::year(parts[0]),
                                        std::chrono::month(static_cast<unsigned>(parts[1])),
                                        std::chrono::day(static_cast<unsigned>(parts[2]))};
  if (!day.ok()) return 0;
  int64_t seconds = std::chrono::sys_days(day).time_since_epoch().count() * 86400LL +
                    parts[3] * 3600LL + parts[4] * 60LL + parts[5];
  std::string_view rest = text.substr(form.size());
  int64_t nanoseconds = 0;
  if (rest.front() == '.') {
    rest.remove_prefix(1);
    int64_t unit = 100'000'000;
    for (; !rest.empty() && rest.front() >= '0' && rest.front() <= '9'; rest.remove_prefix(1)) {
      nanoseconds += unit * (rest.front() - '0');
      unit /= 10;
    }
  }
  if (rest.size() == 6 && (rest[0] == '+' || rest[0] == '-') && rest[3] == ':') {
    int hours = 0;
    int minutes = 0;
    if (!ParseDecimal(rest.substr(1, 2), hours) || !ParseDecimal(rest.substr(4, 2), minutes))
      return 0;
    seconds -= (rest[0] == '+' ? 1 : -1) * (hours * 3600LL + minutes * 60LL);
  } else if (rest != "Z") {
    return 0;
  }
  return seconds * 1'000'000'000 + nanoseconds;
}

}  // namespace ckpt::gs

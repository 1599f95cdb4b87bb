#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt {

/// The known word nearest to `word` (edit distance at most 2 and under half its length), or "": for
/// "did you mean".
std::string Nearest(std::string_view word, std::span<const std::string> known);

/// "folder/name"; the other one where one of them is empty.
std::string Below(std::string_view folder, std::string_view name);

/// The parts between separators; one empty part for an empty text.
std::vector<std::string> Split(std::string_view text, char separator);
/// The text without the white space at its ends.
std::string_view Trimmed(std::string_view text);
/// Lower case, of ASCII letters.
std::string Lower(std::string_view text);

/// At most `most` of the names, then "and N more". For lists inside messages.
std::string ListSome(std::span<const std::string> names, size_t most = 8);

/// Offset of the first byte that is no valid UTF-8 (overlong forms and surrogates included), or
/// npos.
size_t FirstInvalidUtf8(std::string_view text);

/// The text safe for a terminal or a log line: control characters and invalid UTF-8 as \xNN.
std::string Printable(std::string_view text);

/// Printable, and at most about `most` bytes of it, then "...": for words of a file inside
/// messages.
std::string Excerpt(std::string_view text, size_t most = 200);

}  // namespace ckpt

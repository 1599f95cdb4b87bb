#pragma once

#include <string>
#include <string_view>

namespace ckpt::contract {

/// Cloud Storage's rules for a bucket's name: 3 to 222 of lower-case letters, digits, - _ and .,
/// a letter or digit at both ends.
bool IsBucketName(std::string_view name);

/// Whether the text holds what a template should have replaced: $NAME, ${...}, $(...), <...>, or
/// is a word like BUCKET_NAME.
bool LooksUnreplaced(std::string_view text);

bool IsBucketUri(std::string_view place);  ///< gs://...
bool IsLocal(std::string_view place);      ///< a path, absolute or with a slash or dot

/// A path that can be nothing but a directory: absolute, from the working directory, or gs://.
bool IsDirectoryPath(std::string_view path);

/// The place without a slash at its end, and with single ones inside.
std::string Collapsed(std::string_view place);
/// The bucket of a gs:// place, and what follows it ("" or "/a/b").
std::string_view BucketOf(std::string_view place);
std::string_view BehindBucket(std::string_view place);

}  // namespace ckpt::contract

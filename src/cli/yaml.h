#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace ckpt {

/// The text of a JSON value as block style YAML 1.2 that readers of YAML 1.1 understand the same
/// (PyYAML, Kubernetes' own): a string that one of them might take for something else is quoted.
/// Maps keep their order. The value's root is an object or an array; every string is valid UTF-8
/// (others break a promise: 70). yaml-cpp's emitter would leave "true", "no" and "12" bare and
/// write DEL as it is, which Kubernetes' reader refuses.
std::string PrintYaml(const nlohmann::ordered_json& value);

/// One scalar: bare where that is safe, else double quoted with escapes.
std::string YamlString(std::string_view text);

/// "# text" and a newline, whatever the text holds: nothing of it can begin a line of its own.
/// Bytes that are no UTF-8 are shown as \xNN.
std::string YamlComment(std::string_view text);

}  // namespace ckpt

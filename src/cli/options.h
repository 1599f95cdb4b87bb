#pragma once

#include <string>
#include <vector>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's own
class App;
}

namespace ckpt {

/// The words that one verb takes. Besides main.cc only options.cc sees CLI11, whose headers cost
/// seconds in each file that includes them. Values are written where they were asked for when the
/// command line is parsed, so those places must outlive the parsing.
class Options {
 public:
  /// Adds the verb to the program.
  Options(CLI::App& root, const std::string& verb, const std::string& help);

  void Required(const std::string& place, std::string& value, const std::string& help);
  void Optional(const std::string& place, std::string& value, const std::string& help);
  /// An option with one value; `shown` stands for it in the help.
  void Value(const std::string& name, const std::string& shown, std::string& value,
             const std::string& help);
  void Value(const std::string& name, const std::string& shown, unsigned& value,
             const std::string& help);
  /// An option that may be repeated.
  void Values(const std::string& name, const std::string& shown, std::vector<std::string>& values,
              const std::string& help);
  void Flag(const std::string& name, bool& value, const std::string& help);

  std::string verb() const;
  /// Whether the command line names this verb. After parsing.
  bool is_chosen() const;

  struct Given {
    std::string name;  // without dashes
    std::vector<std::string> values;
    bool is_flag;
  };
  /// The options that the command line names, in the order of the help. After parsing.
  std::vector<Given> GetGiven() const;

 private:
  CLI::App* app_;  // owned by the program
};

}  // namespace ckpt

#include "cli/options.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

namespace ckpt {

Options::Options(CLI::App& root, const std::string& verb, const std::string& help)
    : app_(root.add_subcommand(verb, help)) {}

void Options::Required(const std::string& place, std::string& value, const std::string& help) {
  app_->add_option(place, value, help)->required();
}

void Options::Optional(const std::string& place, std::string& value, const std::string& help) {
  app_->add_option(place, value, help);
}

void Options::Value(const std::string& name, const std::string& shown, std::string& value,
                    const std::string& help) {
  app_->add_option(name, value, help)->type_name(shown);
}

void Options::Value(const std::string& name, const std::string& shown, unsigned& value,
                    const std::string& help) {
  app_->add_option(name, value, help)->type_name(shown);
}

void Options::Values(const std::string& name, const std::string& shown,
                     std::vector<std::string>& values, const std::string& help) {
  app_->add_option(name, values, help)->type_name(shown);
}

void Options::Flag(const std::string& name, bool& value, const std::string& help) {
  app_->add_flag(name, value, help);
}

std::string Options::verb() const { return app_->get_name(); }

bool Options::is_chosen() const { return app_->parsed(); }

std::vector<Options::Given> Options::GetGiven() const {
  std::vector<Given> given;
  for (const CLI::Option* option : app_->get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    given.push_back(
        {option->get_lnames().front(), option->results(), option->get_items_expected_max() == 0});
  }
  return given;
}

}  // namespace ckpt

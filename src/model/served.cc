#include "model/served.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "model/dims.h"

namespace ckpt {
namespace {

constexpr size_t kMostNames = 40;
constexpr std::string_view kRope = "rope";  // the choice that --rope-layout decides

bool HasFacts(const Model& model, const ServedModel& served) {
  return std::all_of(served.facts.begin(), served.facts.end(), [&](const auto& fact) {
    const auto found = model.facts.find(fact.first);
    return found != model.facts.end() && found->second == fact.second;
  });
}

/// Of exactly this size: nothing to cut, so no tokens are lost by a guess.
bool HasSizes(const Model& model, const ServedModel& served) {
  return std::all_of(served.dims.begin(), served.dims.end(),
                     [&](const auto& dim) { return model.dims.at(dim.first) == dim.second; });
}

std::string Sizes(const Model& model, const ServedModel& served) {
  std::string text;
  for (const auto& [name, size] : served.dims) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name, model.dims.at(name));
  }
  return text;
}

std::string Facts(const ServedModel& served) {
  std::string text;
  for (const auto& [name, value] : served.facts) text += fmt::format(", {} {}", name, value);
  return text;
}

/// One line on all dimensions that the server would not take, one on each that is cut or padded.
void CompareSizes(const ServedModel& served, Model& model) {
  std::string others;
  for (const auto& [name, size] : served.dims) {
    const uint64_t own = model.dims.at(name);
    const uint64_t written = ServedExtent(served, name, own);
    if (written != size) {
      others += fmt::format("{}{} is {}, not {}", others.empty() ? "" : ", ", name, own, size);
    } else if (written != own) {
      model.notes.push_back(fmt::format("{} {} from {} to {}, as {} has it", name,
                                        own > size ? "cut" : "padded with zeros", own, size,
                                        served.name));
    }
  }
  if (others.empty()) return;
  model.warnings.push_back(
      fmt::format("the source is not of the size of {}: {}; the sizes of the source are written, "
                  "and a server of that name needs them set",
                  served.name, others));
}

void CompareFacts(const ServedModel& served, Model& model) {
  for (const auto& [fact, value] : served.facts) {
    const std::string& own = model.facts.at(fact);
    if (own == value) continue;
    model.warnings.push_back(fmt::format("{} is {} in the source, but {} has {}", fact,
                                         Printable(own), served.name, value));
  }
}

/// Other names that fit an inferred model just as well.
void NoteOthers(const ServedModel& served, Model& model) {
  for (const ServedModel& other : model.family->table().served) {
    if (&other == &served || !HasSizes(model, other) || !HasFacts(model, other)) continue;
    model.notes.push_back(
        fmt::format("it may be {} as well, and is written as {}: {}", other.name, served.name,
                    other.note.empty() ? "name it with --model if so" : other.note));
  }
}

/// Whether the source's own tensors lie by this choice.
bool IsSourceLaidBy(const std::string& choice, const Model& model) {
  for (const Row& row : model.family->rows()) {
    for (const Cell& cell : row.cells) {
      if (cell.scheme == model.source_scheme && cell.choice == choice) return true;
    }
  }
  return false;
}

/// Value and reason of a choice.
struct Decision {
  std::string value;
  std::string reason;
};

Decision Decide(const std::string& name, const Choice& choice, const ServedModel* served,
                const Model& model) {
  if (served != nullptr) {
    const auto rule = served->choices.find(name);
    if (rule != served->choices.end()) {
      const std::string scheme = model.family->BaseScheme(model.source_scheme);
      const auto own = rule->second.find(scheme);
      const auto any = rule->second.find("");
      if (own != rule->second.end()) {
        return {own->second, fmt::format("as for {} from {} names", served->name, scheme)};
      }
      if (any != rule->second.end()) return {any->second, fmt::format("as for {}", served->name)};
    }
  }
  std::string told;
  for (const auto& [fact, values] : choice.facts) {
    const auto found = model.facts.find(fact);
    if (found == model.facts.end()) continue;
    const std::string reason = fmt::format("{} is {}", fact, Printable(found->second));
    const auto value = values.find(found->second);
    if (value != values.end()) return {value->second, reason};
    told = reason;
  }
  return {choice.fallback, told.empty() ? "by default" : told};
}

Result<Decision> Forced(const Family& family, const std::string& rope_layout) {
  const auto choice = family.table().choices.find(std::string(kRope));
  if (choice == family.table().choices.end()) {
    return Fail(Code::kUsage,
                fmt::format("family {} has no choice of rotary layout", family.name()),
                "leave --rope-layout away");
  }
  if (choice->second.values.contains(rope_layout)) return Decision{rope_layout, "as asked for"};
  std::vector<std::string> values;
  for (const auto& [value, terms] : choice->second.values) values.push_back(value);
  return Fail(Code::kUsage, fmt::format("there is no rotary layout \"{}\"", Printable(rope_layout)),
              "choose one of: " + ListSome(values, kMostNames));
}

}  // namespace

Result<const ServedModel*> FindServed(const Family& family, const std::string& name) {
  const std::vector<ServedModel>& all = family.table().served;
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const ServedModel& model) { return model.name == name; });
  if (found != all.end()) return &*found;
  std::vector<std::string> names;
  names.reserve(all.size());
  for (const ServedModel& model : all) names.push_back(model.name);
  const std::string near = Nearest(name, names);
  std::string remedy = near.empty() ? "" : fmt::format("did you mean {}? ", near);
  remedy += names.empty() ? "leave --model away" : "names: " + ListSome(names, kMostNames);
  return Fail(Code::kUsage,
              fmt::format("family {} has no model \"{}\"", family.name(), Printable(name)),
              std::move(remedy));
}

const ServedModel* InferServed(const Model& model) {
  for (const ServedModel& served : model.family->table().served) {
    if (HasSizes(model, served) && HasFacts(model, served)) return &served;
  }
  return nullptr;
}

void NoteServed(const Known& known, Model& model) {
  const ServedModel* const served = known.served;
  const std::vector<ServedModel>& all = model.family->table().served;
  if (all.empty()) return;
  if (served == nullptr) {
    model.notes.push_back(
        fmt::format("no model name fits these sizes ({}): the server needs a configuration of "
                    "its own",
                    Sizes(model, all.front())));
    return;
  }
  model.served_name = served->name;
  if (known.is_given) {
    CompareSizes(*served, model);
    if (known.has_config) CompareFacts(*served, model);
  } else {
    model.notes.push_back(
        fmt::format("taken for {}: {}{}", served->name, Sizes(model, *served), Facts(*served)));
    NoteOthers(*served, model);
  }
  if (!served->note.empty()) model.notes.push_back(served->name + ": " + served->note);
}

Result<void> SettleChoices(const Known& known, Model& model) {
  const Family& family = *model.family;
  std::map<std::string, Decision> forced;
  if (!known.rope_layout.empty()) {
    CKPT_TRY(forced[std::string(kRope)], Forced(family, known.rope_layout));
  }
  for (const auto& [name, choice] : family.table().choices) {
    const auto asked = forced.find(name);
    const bool is_told = asked == forced.end() && model.facts.contains(name);
    const Decision decision = asked != forced.end() ? asked->second
                              : is_told ? Decision{model.facts.at(name), "as the source says"}
                                        : Decide(name, choice, known.served, model);
    const bool is_known = asked != forced.end() || is_told || known.is_given || known.has_config;
    if (!is_known && IsSourceLaidBy(name, model)) {
      model.warnings.push_back(
          fmt::format("the source does not say its layout of {}: taken for {}; "
                      "name the model (--model), or the layout",
                      name, decision.value));
    }
    model.facts[name] = decision.value;
    const auto says = choice.says.find(decision.value);
    model.notes.push_back(fmt::format("{} {} ({}){}", name, decision.value, decision.reason,
                                      says == choice.says.end() ? "" : ": " + says->second));
    const auto flag = choice.server_flags.find(decision.value);
    if (flag == choice.server_flags.end()) continue;
    const std::string& implied_by = flag->second.implied_by;
    const bool is_implied = !implied_by.empty() && known.served != nullptr &&
                            known.served->name.starts_with(implied_by);
    if (!is_implied) model.server_flags.push_back(flag->second.flag);
  }
  return {};
}

}  // namespace ckpt

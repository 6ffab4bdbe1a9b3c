#pragma once

#include <abyme/stats/accumulator.hpp>
#include <abyme/stats/moments.hpp>
#include <abyme/write/entries.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// A value behind a bar and its name: `"average"` (that field of the caller), `stats.get("average")`,
/// `{"loss", stats.get("average")}`. A dictionary gives its entries, under their own names.
struct BarValue {
  std::string name;
  Input<Value> value;

  template <class Text>
    requires std::convertible_to<const Text&, std::string_view>
  BarValue(const Text& field) : BarValue(caller(std::string(std::string_view(field)))) {}
  BarValue(CallerField field) : name(field.field), value(std::move(field)) {}
  BarValue(Look look) : name(look.field()), value(std::move(look)) {}
  BarValue(std::string name, Input<Value> value) : name(std::move(name)), value(std::move(value)) {}
};

/// Calls `take(name, value)` for a value, or for the entries of a dictionary.
template <class Take>
void each_bar_value(std::string_view name, const Value& value, Take take) {
  const Opaque* object = std::get_if<Opaque>(&value);
  if (!object || !object->address || !(*object->type == type_id<Dict>)) return take(name, value);
  for (const auto& [key, each] : *static_cast<const Dict*>(object->address)) take(key, each);
}

/// Weighted means of named numbers. Tensors stay on their device until a mean is read.
template <class Gathered = Moments>
class NamedMeans {
public:
  /// \param value no number: left out
  void add(std::string_view name, const Value& value, double weight) {
    const at::Tensor* tensor = std::get_if<at::Tensor>(&value);
    if (tensor && tensor->defined() && !tensor->is_cpu() && tensor->numel() == 1)
      return of(name).defer(*tensor, weight);
    if (const auto held = number(value)) of(name).add(*held, weight);
  }
  /// Calls `take(name, mean)` for each.
  template <class Take>
  void each(Take take) const {
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const Gathered& moments = seen_[i].gathered();
      take(names_[i], moments.weight > 0 ? moments.average : moments.last);
    }
  }
  void clear() {
    names_.clear();
    seen_.clear();
  }

  void save(Kept& kept) const {
    keep(kept, "names", names_);
    for (std::size_t i = 0; i < names_.size(); ++i) keep(kept, std::to_string(i), seen_[i]);
  }
  void load(const Kept& kept) {
    put_back(kept, "names", names_);
    seen_ = std::vector<Accumulator<Gathered>>(names_.size());
    for (std::size_t i = 0; i < names_.size(); ++i) put_back(kept, std::to_string(i), seen_[i]);
  }

private:
  Accumulator<Gathered>& of(std::string_view name) {
    std::size_t at = 0;
    while (at < names_.size() && names_[at] != name) ++at;
    if (at == names_.size()) {
      names_.emplace_back(name);
      seen_.emplace_back();
    }
    return seen_[at];
  }

  std::vector<std::string> names_;
  std::vector<Accumulator<Gathered>> seen_;
};

}  // namespace abyme

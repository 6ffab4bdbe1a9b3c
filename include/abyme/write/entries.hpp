#pragma once

#include <abyme/core/ground.hpp>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// Named values in the order in which they came: `ab::Dict{{"seed", 1}, {"name", "first"}}`.
class Dict {
public:
  struct Entry {
    std::string name;
    Value value;

    Entry(std::string_view name, Value value) : name(name), value(std::move(value)) {}
    template <class T>
      requires(kind_of<T>() != Kind::object && kind_of<T>() != Kind::any)
    Entry(std::string_view name, const T& value) : Entry(name, to_value(value)) {}
  };

  Dict() = default;
  Dict(std::initializer_list<Entry> entries) {
    for (const auto& [name, value] : entries) set(name, value);
  }

  /// A name that is there already keeps its place.
  void set(std::string_view name, Value value) {
    for (auto& [known, held] : entries_) {
      if (known == name) {
        held = std::move(value);
        return;
      }
    }
    entries_.emplace_back(name, std::move(value));
  }
  /// The value of that name, or null.
  const Value* find(std::string_view name) const {
    for (const auto& [known, held] : entries_) {
      if (known == name) return &held;
    }
    return nullptr;
  }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }
  bool empty() const { return entries_.empty(); }

  void save(Kept& kept) const {
    std::vector<std::string> names;
    std::vector<Value> values;
    for (const auto& [name, value] : entries_) {
      names.push_back(name);
      values.push_back(value);
    }
    keep(kept, "names", names);
    keep(kept, "values", values);
  }
  void load(const Kept& kept) {
    std::vector<std::string> names;
    std::vector<Value> values;
    put_back(kept, "names", names);
    put_back(kept, "values", values);
    entries_.clear();
    for (std::size_t i = 0; i < names.size(); ++i) entries_.emplace_back(names[i], values.at(i));
  }

private:
  std::vector<Entry> entries_;
};

struct PrefixOptions {
  Input<std::string> prefix = "";  ///< put before each name; read at each dig
};

/// Inputs for the fields of a caller, by their names.
inline std::vector<Input<Value>> inputs_of(const std::vector<std::string>& names) {
  std::vector<Input<Value>> inputs;
  for (const std::string& name : names) inputs.emplace_back(caller(name));
  return inputs;
}

/// Calls `take(name, value)` for fields of the reader's caller: the chosen ones in their order, or, where
/// none is chosen, all that it shows but for objects and options. A dictionary gives its entries, named
/// `field.key`.
template <class Take>
void each_entry(const Node& reader, const std::vector<Input<Value>>& chosen, std::string_view prefix,
                Take take) {
  const auto give = [&](std::string_view field, const Value& value, bool objects_too) {
    const Opaque* object = std::get_if<Opaque>(&value);
    if (object && object->address && *object->type == type_id<Dict>) {
      for (const auto& [key, each] : *static_cast<const Dict*>(object->address))
        take(fmt::format("{}{}.{}", prefix, field, key), each);
    } else if (objects_too || !object) {
      take(fmt::format("{}{}", prefix, field), value);
    }
  };
  for (const Input<Value>& input : chosen)
    give(std::get<CallerField>(input.source()).field, input.value(reader), true);
  if (!chosen.empty()) return;
  for (const Field& row : reader.caller()->shown()) {
    if (!row.option) give(row.name, row.read(*reader.caller()), false);
  }
}

/// The same for a stream: names and values go through its transforms, then the prefix comes before the name.
template <class Options, class Take>
void each_transformed(const Node& reader, const std::vector<Input<Value>>& chosen, const Options& options,
                      Take take) {
  const std::string prefix = options.prefix.read(reader);
  each_entry(reader, chosen, "", [&](std::string name, Value value) {
    for (const auto& transform : options.name_transforms) name = transform(std::move(name));
    for (const auto& transform : options.value_transforms) value = transform(std::move(value));
    take(prefix + name, value);
  });
}

}  // namespace abyme

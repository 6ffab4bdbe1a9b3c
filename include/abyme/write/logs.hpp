#pragma once

#include <abyme/write/entries.hpp>

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

struct LossOptions {
  bool metric = false;  ///< also recorded under "metrics"
};

/// What a step tells of itself, a value: named values in collections, both in the order in which they came.
///
///     ab::Logs logs;
///     logs.add_loss("loss", loss).add_metrics({{"accuracy", accuracy}, {"lr", 0.1}});
///     ab::Logs{{"metrics", {{"accuracy", accuracy}}}, {"timing", {{"load", 3ms}}}};
///
/// A value is whatever a field may hold but for objects. Tensors are shared, stay on their device, and are
/// read when somebody reads them. All are detached but those under "losses", which keep their graph.
/// A value is found by its name, or by "collection.name": no name has a dot. \throws Error, from all that
/// add, where one has, and where a value is an object
class Logs {
public:
  struct Collection {
    std::string name;
    Dict entries;
  };

  Logs() = default;
  Logs(std::initializer_list<Collection> collections) {
    for (const auto& [name, entries] : collections) add(name, entries);
  }

  /// The collection is made where it is not there. A value of that name is replaced, and keeps its place.
  template <class T>
  Logs& add(std::string_view collection, std::string_view name, const T& value) {
    static_assert(kind_of<T>() != Kind::object, "logs take bools, numbers, texts, tensors and durations");
    put(collection, name, to_value(value));
    return *this;
  }
  Logs& add(std::string_view collection, const Dict& entries) {
    for (const auto& [name, value] : entries) put(collection, name, value);
    return *this;
  }

  template <class T>
  Logs& add_metric(std::string_view name, const T& value) {
    return add("metrics", name, value);
  }
  /// A value that has gathered already, and is shown as it is.
  template <class T>
  Logs& add_stateful_metric(std::string_view name, const T& value) {
    return add("stateful_metrics", name, value);
  }
  template <class T>
  Logs& add_loss(std::string_view name, const T& value, LossOptions options = {}) {
    if (options.metric) add("metrics", name, value);
    return add("losses", name, value);
  }
  template <class T>
  Logs& add_output(std::string_view name, const T& value) {
    return add("outputs", name, value);
  }
  Logs& add_metrics(const Dict& entries) { return add("metrics", entries); }
  Logs& add_stateful_metrics(const Dict& entries) { return add("stateful_metrics", entries); }
  Logs& add_losses(const Dict& entries, LossOptions options = {}) {
    if (options.metric) add("metrics", entries);
    return add("losses", entries);
  }
  Logs& add_outputs(const Dict& entries) { return add("outputs", entries); }

  /// Adds all that `other` holds.
  Logs& merge(const Logs& other) {
    if (&other == this) return *this;
    for (const auto& [name, entries] : other.collections_) add(name, entries);
    return *this;
  }

  /// The value of that name, in whichever collection, or of "collection.name"; null where there is none.
  /// \throws Error where several collections have the name, or it has more than one dot
  const Value* find(std::string_view key) const&;
  // From logs that are gone behind the expression, as those of a row, it is a copy; so with the next ones.
  std::optional<Value> find(std::string_view key) && {
    const Value* found = std::as_const(*this).find(key);
    return found ? std::optional(*found) : std::nullopt;
  }
  /// The same. \throws Error where there is none
  const Value& at(std::string_view key) const&;
  Value at(std::string_view key) && { return std::as_const(*this).at(key); }
  /// The same as a bool, a number, a std::string, an at::Tensor or an ab::Duration. \throws Error where it
  /// holds something else
  template <class T>
  T get(std::string_view key) const {
    const Value& value = at(key);
    if (std::optional<T> found = convert<T>(value)) return *std::move(found);
    throw Error(fmt::format("Logs: \"{}\" must hold {} to be got as one, got {}; get it as what it is", key,
                            type_name<T>, kind_name(kind(value))));
  }

  /// The entries of a collection, or null.
  const Dict* collection(std::string_view name) const& {
    for (const auto& [known, entries] : collections_) {
      if (known == name) return &entries;
    }
    return nullptr;
  }
  std::optional<Dict> collection(std::string_view name) && {
    const Dict* found = std::as_const(*this).collection(name);
    return found ? std::optional(*found) : std::nullopt;
  }
  bool empty() const { return collections_.empty(); }
  auto begin() const { return collections_.begin(); }
  auto end() const { return collections_.end(); }

  /// The same without any graph.
  Logs detach() const;

  void save(Kept& kept) const {
    for (const auto& [name, entries] : collections_) keep(kept, name, entries);
  }
  void load(const Kept& kept) {
    collections_.clear();
    if (kept.data.is_nothing()) return;
    for (const Record::Entry& each : kept.data.as<Record::Entries>()) {
      collections_.push_back({each.name, {}});
      put_back(kept, each.name, collections_.back().entries);
    }
  }

private:
  void put(std::string_view collection, std::string_view name, Value value);

  std::vector<Collection> collections_;
};

/// The same value without its graph.
inline Value detached(Value value) {
  if (at::Tensor* tensor = std::get_if<at::Tensor>(&value)) {
    if (!tensor->defined()) return {};
    if (tensor->requires_grad()) *tensor = tensor->detach();
  }
  return value;
}

inline void Logs::put(std::string_view collection, std::string_view name, Value value) {
  for (const std::string_view part : {collection, name}) {
    if (part.find('.') != part.npos)
      throw Error(fmt::format("Logs: a name has no dot, which stands between a collection and a name, got "
                              "\"{}\"; write an underscore",
                              part));
  }
  if (const Opaque* object = std::get_if<Opaque>(&value))
    throw Error(fmt::format("Logs: a value is a bool, a number, a text, a tensor or a duration, got <{}> for "
                            "\"{}\"; log what it holds",
                            object->type->name, name));
  if (collection != "losses") value = detached(std::move(value));
  for (auto& [known, entries] : collections_) {
    if (known == collection) return entries.set(name, std::move(value));
  }
  collections_.push_back({std::string(collection), {}});
  collections_.back().entries.set(name, std::move(value));
}

inline const Value* Logs::find(std::string_view key) const& {
  const std::size_t dot = key.find('.');
  if (dot != key.npos) {
    if (key.find('.', dot + 1) != key.npos)
      throw Error(
          fmt::format("Logs: a key is \"name\" or \"collection.name\", got \"{}\"; leave a dot out", key));
    const Dict* entries = collection(key.substr(0, dot));
    return entries ? entries->find(key.substr(dot + 1)) : nullptr;
  }
  const Value* found = nullptr;
  std::string_view place;
  for (const auto& [name, entries] : collections_) {
    const Value* here = entries.find(key);
    if (here && found)
      throw Error(fmt::format("Logs: a name without its collection is in one collection, got \"{0}\", which "
                              "is in {1} and in {2}; write \"{1}.{0}\" or \"{2}.{0}\"",
                              key, place, name));
    if (here) found = here, place = name;
  }
  return found;
}

inline const Value& Logs::at(std::string_view key) const& {
  if (const Value* found = find(key)) return *found;
  std::string names;
  for (const auto& [collection, entries] : collections_) {
    for (const auto& each : entries)
      names += fmt::format("{}{}.{}", names.empty() ? "" : ", ", collection, each.name);
  }
  throw Error(fmt::format("Logs: a key names what is logged ({}), got \"{}\"; log it before it is read",
                          names.empty() ? "nothing" : names, key));
}

inline Logs Logs::detach() const {
  Logs copy;
  for (const auto& [name, entries] : collections_) {
    for (const auto& each : entries) copy.put(name, each.name, detached(each.value));
  }
  return copy;
}

}  // namespace abyme

#pragma once

#include <abyme/core/error.hpp>
#include <abyme/core/json.hpp>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace abyme {

/// A name and what it stands for. A template, so that a record can hold entries with records in them.
template <class Value>
struct NamedValue {
  std::string name;
  Value value;
  friend bool operator==(const NamedValue&, const NamedValue&) = default;
};

/// Plain data as JSON has it, but with whole numbers apart: nothing, bool, int64, double, text, a list, or
/// named entries in their order. It is what nodes and parts put into a snapshot beside tensors.
class Record {
public:
  using List = std::vector<Record>;
  using Entry = NamedValue<Record>;
  using Entries = std::vector<Entry>;

  Record() = default;
  Record(bool value) : value_(value) {}
  template <class T>
    requires(std::is_integral_v<T> && !std::is_same_v<T, bool>)
  Record(T value) : value_(static_cast<std::int64_t>(value)) {}
  Record(double value) : value_(value) {}
  Record(std::string value) : value_(std::move(value)) {}
  Record(std::string_view value) : value_(std::string(value)) {}
  Record(const char* value) : value_(std::string(value)) {}
  Record(List list) : value_(std::move(list)) {}

  bool is_nothing() const { return std::holds_alternative<std::monostate>(value_); }
  /// What it holds, as a bool, std::int64_t, double, std::string, List or Entries. \throws Error where it
  /// holds something else
  template <class T>
  const T& as() const;
  /// The number that it holds, whole or not. \throws Error where it holds something else
  double number() const;

  /// The entry of that name, made where it is not there. Nothing becomes entries. \throws Error where it
  /// holds something else
  Record& operator[](std::string_view name);
  /// The entry of that name, or null.
  const Record* find(std::string_view name) const;
  /// The entry of that name. \throws Error where there is none
  const Record& at(std::string_view name) const;

  /// As JSON on one line. Doubles have all their digits; those that are not finite are NaN, Infinity and
  /// -Infinity, as Python's json writes and reads them.
  std::string json() const;
  /// \throws Error where the text is no JSON, with the place; lists may nest 200 deep.
  static Record parse(std::string_view json);

  friend bool operator==(const Record& a, const Record& b);

private:
  static Record read(JsonReader& json, int depth);
  void write(std::string& text) const;

  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Entries> value_;
};

inline bool operator==(const Record& a, const Record& b) { return a.value_ == b.value_; }

template <class T>
const T& Record::as() const {
  if (const T* held = std::get_if<T>(&value_)) return *held;
  throw Error(
      "a record must hold what is read from it, got another kind; the file was made by another program");
}

inline double Record::number() const {
  if (const auto* whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
  return as<double>();
}

inline Record& Record::operator[](std::string_view name) {
  if (is_nothing()) value_ = Entries{};
  auto* entries = std::get_if<Entries>(&value_);
  if (!entries) {
    throw Error("a record must be empty or have entries to get the entry \"" + std::string(name) +
                "\", got a value; write it into a record of its own");
  }
  for (Entry& each : *entries) {
    if (each.name == name) return each.value;
  }
  entries->push_back({std::string(name), {}});
  return entries->back().value;
}

inline const Record* Record::find(std::string_view name) const {
  const auto* entries = std::get_if<Entries>(&value_);
  if (!entries) return nullptr;
  for (const Entry& each : *entries) {
    if (each.name == name) return &each.value;
  }
  return nullptr;
}

inline const Record& Record::at(std::string_view name) const {
  if (const Record* found = find(name)) return *found;
  throw Error("a record must have the entry that is read from it, got none named \"" + std::string(name) +
              "\"; the file was made by another program");
}

inline void Record::write(std::string& text) const {
  const auto digits = [&text](auto number) {
    char buffer[64];
    text.append(buffer, std::to_chars(buffer, buffer + sizeof(buffer), number).ptr);
  };
  if (is_nothing()) {
    text += "null";
  } else if (const auto* boolean = std::get_if<bool>(&value_)) {
    text += *boolean ? "true" : "false";
  } else if (const auto* whole = std::get_if<std::int64_t>(&value_)) {
    digits(*whole);
  } else if (const auto* real = std::get_if<double>(&value_)) {
    if (std::isnan(*real)) {
      text += "NaN";
    } else if (std::isinf(*real)) {
      text += *real > 0 ? "Infinity" : "-Infinity";
    } else {
      const std::size_t before = text.size();
      const std::uint64_t bits = std::bit_cast<std::uint64_t>(*real) << 1;
      // Where denormals are flushed to_chars takes one for 0; a long double is none, and is read to the same.
      if (bits != 0 && bits >> 53 == 0) digits(static_cast<long double>(*real));
      else digits(*real);
      if (text.find_first_of(".e", before) == text.npos) text += ".0";  // stays a double
    }
  } else if (const auto* string = std::get_if<std::string>(&value_)) {
    text += json_text(*string);
  } else if (const auto* list = std::get_if<List>(&value_)) {
    text += '[';
    for (std::size_t i = 0; i < list->size(); ++i) {
      if (i > 0) text += ',';
      (*list)[i].write(text);
    }
    text += ']';
  } else {
    const auto& entries = std::get<Entries>(value_);
    text += '{';
    for (std::size_t i = 0; i < entries.size(); ++i) {
      text.append(i > 0 ? "," : "").append(json_text(entries[i].name)).append(":");
      entries[i].value.write(text);
    }
    text += '}';
  }
}

inline std::string Record::json() const {
  std::string text;
  write(text);
  return text;
}

inline Record Record::read(JsonReader& json, int depth) {
  if (depth > 200) json.fail("end of the nesting, which is deeper than 200,");
  if (json.take("{")) {
    Record record;
    auto& entries = record.value_.emplace<Entries>();
    if (json.take("}")) return record;
    do {
      std::string name = json.string();
      json.need(":");
      entries.push_back({std::move(name), read(json, depth + 1)});
    } while (json.take(","));
    json.need("}");
    return record;
  }
  if (json.take("[")) {
    List list;
    if (json.take("]")) return list;
    do list.push_back(read(json, depth + 1));
    while (json.take(","));
    json.need("]");
    return list;
  }
  if (json.next_is('"')) return json.string();
  if (json.take("true")) return true;
  if (json.take("false")) return false;
  if (json.take("null")) return {};
  if (json.take("NaN")) return std::nan("");
  if (json.take("Infinity")) return HUGE_VAL;
  if (json.take("-Infinity")) return -HUGE_VAL;
  const std::string_view number = json.number();
  if (json.is_whole()) return json.number_as<std::int64_t>(number);
  return json.number_as<double>(number);
}

inline Record Record::parse(std::string_view text) {
  JsonReader json(text);
  Record record = read(json, 0);
  json.need_end();
  return record;
}

}  // namespace abyme

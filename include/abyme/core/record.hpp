#pragma once

#include <abyme/core/error.hpp>

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace abyme {

/// Plain data as JSON has it, but with whole numbers apart: nothing, bool, int64, double, text, a list, or
/// named entries in their order. It is what nodes and parts put into a snapshot beside tensors.
class Record {
public:
  using List = std::vector<Record>;
  struct Entry;
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
  /// What it holds as a T: bool, std::int64_t, double (also of a whole number), std::string, List or Entries.
  /// \throws Error where it holds something else
  template <class T>
  const T& as() const;
  double number() const;

  /// The entry of that name, made where it is not there. Nothing becomes entries.
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
  class Parser;
  void write(std::string& text) const;

  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Entries> value_;
};

struct Record::Entry {
  std::string name;
  Record value;
  friend bool operator==(const Entry&, const Entry&) = default;
};

inline bool operator==(const Record& a, const Record& b) { return a.value_ == b.value_; }

/// A text as JSON, in quotes. What is no UTF-8 stays as it is.
inline std::string json_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) quoted += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else quoted += c;
  }
  return quoted + '"';
}

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
  auto& entries = std::get<Entries>(value_);
  for (Entry& entry : entries) {
    if (entry.name == name) return entry.value;
  }
  entries.push_back({std::string(name), {}});
  return entries.back().value;
}

inline const Record* Record::find(std::string_view name) const {
  const auto* entries = std::get_if<Entries>(&value_);
  if (!entries) return nullptr;
  for (const Entry& entry : *entries) {
    if (entry.name == name) return &entry.value;
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
    char buffer[32];
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
      digits(*real);
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

class Record::Parser {
public:
  explicit Parser(std::string_view text) : text_(text) {}

  Record whole() {
    Record record = value(0);
    blanks();
    if (at_ != text_.size()) fail("the end");
    return record;
  }

private:
  [[noreturn]] void fail(std::string_view wanted) const {
    throw Error(
        fmt::format("JSON must be well formed, got no {} at byte {}; the text is damaged", wanted, at_));
  }
  void blanks() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool take(std::string_view wanted) {
    if (!text_.substr(at_).starts_with(wanted)) return false;
    at_ += wanted.size();
    return true;
  }
  bool next_is(char wanted) {
    blanks();
    return take(std::string_view(&wanted, 1));
  }
  void need(char wanted) {
    if (!next_is(wanted)) fail(fmt::format("'{}'", wanted));
  }

  Record value(int depth) {
    if (depth > 200) fail("end of the nesting, which is deeper than 200,");
    blanks();
    if (take("{")) {
      Record record;
      record.value_ = Entries{};
      auto& entries = std::get<Entries>(record.value_);
      if (next_is('}')) return record;
      do {
        blanks();
        if (!take("\"")) fail("name");
        std::string name = string();
        need(':');
        entries.push_back({std::move(name), value(depth + 1)});
      } while (next_is(','));
      need('}');
      return record;
    }
    if (take("[")) {
      List list;
      if (next_is(']')) return list;
      do list.push_back(value(depth + 1));
      while (next_is(','));
      need(']');
      return list;
    }
    if (take("\"")) return string();
    if (take("true")) return true;
    if (take("false")) return false;
    if (take("null")) return {};
    if (take("NaN")) return std::nan("");
    if (take("Infinity")) return HUGE_VAL;
    if (take("-Infinity")) return -HUGE_VAL;
    return number();
  }

  Record number() {
    const char* first = text_.data() + at_;
    const char* last = first;
    const char* const end = text_.data() + text_.size();
    while (last != end && std::string_view("+-.0123456789eE").find(*last) != std::string_view::npos) ++last;
    const bool is_whole = std::string_view(first, last).find_first_of(".eE") == std::string_view::npos;
    std::int64_t whole = 0;
    double real = 0;
    const auto result = is_whole ? std::from_chars(first, last, whole) : std::from_chars(first, last, real);
    if (result.ec != std::errc() || result.ptr != last || first == last) fail("value");
    at_ += static_cast<std::size_t>(last - first);
    return is_whole ? Record(whole) : Record(real);
  }

  std::string string() {  // behind its first quote
    std::string text;
    for (;;) {
      if (at_ == text_.size()) fail("'\"'");
      const char c = text_[at_++];
      if (c == '"') return text;
      if (c != '\\') {
        text += c;
        continue;
      }
      if (at_ == text_.size()) fail("character behind '\\'");
      switch (const char escaped = text_[at_++]) {
      case 'b': text += '\b'; break;
      case 'f': text += '\f'; break;
      case 'n': text += '\n'; break;
      case 'r': text += '\r'; break;
      case 't': text += '\t'; break;
      case 'u': append_utf8(text, unicode()); break;
      case '"':
      case '\\':
      case '/': text += escaped; break;
      default: fail("escape that JSON knows");
      }
    }
  }

  std::uint32_t hex() {
    std::uint32_t code = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (digits.size() != 4 || result.ptr != digits.data() + 4) fail("four hexadecimal digits");
    at_ += 4;
    return code;
  }
  std::uint32_t unicode() {
    const std::uint32_t code = hex();
    if (code < 0xd800 || code > 0xdfff) return code;
    if (code > 0xdbff || !take("\\u")) fail("second half of a character");
    const std::uint32_t low = hex();
    if (low < 0xdc00 || low > 0xdfff) fail("second half of a character");
    return 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
  }
  static void append_utf8(std::string& text, std::uint32_t code) {
    const auto put = [&text](std::uint32_t byte) { text += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
      put(0xc0 | code >> 6);
    } else if (code < 0x10000) {
      put(0xe0 | code >> 12);
      put(0x80 | (code >> 6 & 0x3f));
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
      put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

inline Record Record::parse(std::string_view json) { return Parser(json).whole(); }

}  // namespace abyme

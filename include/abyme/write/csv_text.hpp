#pragma once

#include <abyme/core/value.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace abyme {

/// How a table is written as text: RFC 4180, with a choice of separators.
struct CSVFormat {
  std::string separator = ",";
  std::string line_separator = "\n";

  /// A cell, in quotes where it holds a separator, a quote or a line break.
  std::string cell(std::string_view text) const {
    if (text.find_first_of("\"\r\n") == text.npos && text.find(separator) == text.npos &&
        text.find(line_separator) == text.npos)
      return std::string(text);
    std::string quoted = "\"";
    for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
    return quoted + '"';
  }

  /// Cells in a row, without the end of the line.
  std::string row(const std::vector<std::string>& cells) const {
    if (cells.size() == 1 && cells[0].empty()) return "\"\"";  // readers skip lines that are empty
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) text.append(i ? separator : "").append(cell(cells[i]));
    return text;
  }
  std::string line(const std::vector<std::string>& cells) const { return row(cells) + line_separator; }

  /// The length of the first line of a table, with its end, or of all of `text` where that has no end: a line
  /// break inside quotes ends no line.
  std::size_t line_length(std::string_view text) const {
    bool quoted = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '"') quoted = !quoted;
      else if (!quoted && text.substr(i).starts_with(line_separator)) return i + line_separator.size();
    }
    return text.size();
  }

  /// The length of the first `count` cells of a line, with the separators between them.
  std::size_t cells_length(std::string_view line, std::size_t count) const {
    bool quoted = false;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '"') quoted = !quoted;
      else if (!quoted && line.substr(i).starts_with(separator) && --count == 0) return i;
    }
    return line.size();
  }

  /// The rule that the separators break, or nothing.
  std::string fault() const {
    for (const auto& [name, given] :
         {std::pair{"separator", &separator}, std::pair{"line_separator", &line_separator}}) {
      if (given->empty() || given->find('"') != given->npos)
        return fmt::format("{} must be a text without quotes, got {:?}; pass \",\" and \"\\n\" for a common "
                           "table",
                           name, *given);
    }
    if (separator.find(line_separator) != separator.npos || line_separator.find(separator) != separator.npos)
      return fmt::format("neither separator nor line_separator may hold the other, got {:?} and {:?}; pass "
                         "\",\" and \"\\n\" for a common table",
                         separator, line_separator);
    return {};
  }
};

/// A value as the text of a cell, which reads back as the same number: durations in seconds, nothing as `na`.
inline std::string csv_text(const Value& value, std::string_view na) {
  if (kind(value) == Kind::nothing) return std::string(na);
  if (const Duration* duration = std::get_if<Duration>(&value)) return fmt::format("{}", duration->count());
  return to_text(value);
}

}  // namespace abyme

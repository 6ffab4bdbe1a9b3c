#pragma once

#include <abyme/save/file.hpp>
#include <abyme/save/input_file.hpp>
#include <abyme/write/csv_text.hpp>
#include <abyme/write/history_rows.hpp>
#include <abyme/write/json_value.hpp>

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

// Templates, so that only a file that writes or reads a history spends its compiler's time on them.

namespace abyme {

/// How a history is written to files, and read.
template <class Rows>
class HistoryFiles {
public:
  /// A line a row, `{"elapsed": {"steps": 0, ...}, "metrics": {"loss": 0.5}}`.
  static void write_jsonl(const Rows& given, const std::filesystem::path& path) {
    const Rows rows = given.read();
    std::string text;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const HistoryRow row = rows.at(i);
      Record line;
      for (const std::string_view name : elapsed_names)
        line["elapsed"][name] = to_record(in_elapsed(row, name));
      for (const auto& [collection, entries] : row.logs) {
        for (const auto& [name, value] : entries) line[collection][name] = to_record(value);
      }
      text += line.json() + '\n';
    }
    write_atomically(path, [&](File& file) { file.write(text); });
  }

  static void read_jsonl(Rows& rows, const std::filesystem::path& path) {
    const std::string text = content(path);
    std::string_view rest = text;
    for (int number = 1; !rest.empty(); ++number) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      if (line.find_first_not_of(" \t\r") == line.npos) continue;
      const std::string place = fmt::format("{}, line {}", path.string(), number);
      telling(place, [&] {
        JsonReader json(line, "JSON");
        HistoryRow row = empty_row();
        each_entry(json, [&](const std::string& collection) {
          if (!json.next_is('{'))
            throw Error(
                fmt::format("a row must hold collections of values, got a value as \"{}\"; read a file "
                            "that to_jsonl has written",
                            collection));
          each_entry(json,
                     [&](const std::string& name) { put(row, collection, name, JsonValue::read(json)); });
        });
        json.need_end();
        rows.commit(row.elapsed, row.logs);
      });
    }
  }

  /// A column for each "collection.name", in the order in which they came.
  static void write_csv(const Rows& given, const std::filesystem::path& path) {
    const Rows rows = given.read();
    std::vector<std::string> columns;
    std::unordered_map<std::string, std::size_t> places;
    const auto each_cell = [&](std::size_t row_number, auto take) {
      const HistoryRow row = rows.at(row_number);
      for (const std::string_view name : elapsed_names)
        take(fmt::format("elapsed.{}", name), in_elapsed(row, name));
      for (const auto& [collection, entries] : row.logs) {
        for (const auto& [name, value] : entries) take(collection + '.' + name, value);
      }
    };
    for (std::size_t i = 0; i < rows.size(); ++i) {
      each_cell(i, [&](const std::string& column, const Value&) {
        if (places.try_emplace(column, columns.size()).second) columns.push_back(CSVFormat().cell(column));
      });
    }
    std::string text;
    const auto add_line = [&text](const std::vector<std::string>& cells) {
      for (std::size_t i = 0; i < cells.size(); ++i) text.append(i > 0 ? "," : "").append(cells[i]);
      text += '\n';
    };
    if (!columns.empty()) add_line(columns);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::vector<std::string> cells(columns.size());
      each_cell(
          i, [&](const std::string& column, const Value& value) { cells[places.at(column)] = cell(value); });
      add_line(cells);
    }
    write_atomically(path, [&](File& file) { file.write(text); });
  }

  static void read_csv(Rows& rows, const std::filesystem::path& path) {
    const std::string text = content(path);
    std::vector<std::pair<std::string, std::string>> columns;
    std::string_view rest = text;
    for (int number = 0; !rest.empty(); ++number) {
      const std::vector<Cell> cells = take_line(rest);
      const std::string place =
          number == 0 ? path.string() + ", the header" : fmt::format("{}, row {}", path.string(), number);
      telling(place, [&] {
        if (number == 0) return read_header(cells, columns);
        if (cells.size() == 1 && cells[0].text.empty()) return;  // an empty line
        if (cells.size() != columns.size())
          throw Error(fmt::format("a row must have a cell for each of the {} columns, got {}; complete it",
                                  columns.size(), cells.size()));
        HistoryRow row = empty_row();
        for (std::size_t i = 0; i < cells.size(); ++i) {
          if (cells[i].quoted || !cells[i].text.empty())
            put(row, columns[i].first, columns[i].second, value_of(cells[i]));
        }
        rows.commit(row.elapsed, row.logs);
      });
    }
  }

private:
  static constexpr std::array<std::string_view, 4> elapsed_names{"steps", "samples", "time", "date"};

  static Value in_elapsed(const HistoryRow& row, std::string_view name) {
    return *find_elapsed(row.elapsed, name, nullptr);
  }
  static HistoryRow empty_row() { return {{.date = Date()}, {}}; }

  static void put(HistoryRow& row, const std::string& collection, const std::string& name,
                  const Value& value) {
    if (collection != "elapsed") {
      row.logs.add(collection, name, value);
      return;
    }
    const std::optional<double> read = number(value);
    if (!read)
      throw Error(fmt::format("elapsed.{} must be a number, got {}; read a file that a history has written",
                              name, kind_name(kind(value))));
    if (name == "steps") row.elapsed.steps = *convert<std::int64_t>(value);
    if (name == "samples") row.elapsed.samples = *convert<std::int64_t>(value);
    if (name == "time") row.elapsed.time = Duration(*read);
    if (name == "date") row.elapsed.date = date_of(*read);
  }

  static std::string content(const std::filesystem::path& path) {
    InputFile file(path);
    std::string text(file.size(), '\0');
    file.read(text.data(), text.size());
    return text;
  }
  template <class Act>
  static void telling(const std::string& place, Act act) {
    try {
      act();
    } catch (const Error& error) {
      throw Error(place + ": " + error.what());
    }
  }

  // ---- JSON ----

  // Calls take(name) before each value of an object.
  template <class Take>
  static void each_entry(JsonReader& json, Take take) {
    json.need("{");
    if (json.take("}")) return;
    do {
      const std::string name = json.string();
      json.need(":");
      take(name);
    } while (json.take(","));
    json.need("}");
  }

  // ---- CSV: texts are quoted, nothing else is, so that they are told apart when they are read ----

  struct Cell {
    std::string text;
    bool quoted = false;
  };

  static std::string cell(const Value& value) {
    if (kind(value) == Kind::nothing) return {};
    const auto* tensor = std::get_if<at::Tensor>(&value);
    if (tensor && tensor->numel() == 1) return to_record(tensor->reshape({})).json();
    const auto* given = std::get_if<std::string>(&value);
    if (!given && !tensor) return to_record(value).json();
    std::string text = "\"";
    for (const char c : given ? *given : to_record(value).json()) text.append(c == '"' ? 2 : 1, c);
    return text + '"';
  }

  static Value value_of(const Cell& cell) {
    if (cell.quoted) return cell.text;
    if (cell.text == "true" || cell.text == "True") return true;
    if (cell.text == "false" || cell.text == "False") return false;
    const auto read = [&](auto number) -> Value {
      const char* end = cell.text.data() + cell.text.size();
      const auto result = std::from_chars(cell.text.data(), end, number);
      return result.ec == std::errc() && result.ptr == end ? Value(number) : Value();
    };
    if (Value whole = read(std::int64_t{}); kind(whole) != Kind::nothing) return whole;
    if (Value real = read(double{}); kind(real) != Kind::nothing) return real;
    return cell.text;
  }

  static std::vector<Cell> take_line(std::string_view& rest) {
    std::vector<Cell> cells(1);
    bool quoted = false;
    for (std::size_t i = 0; i < rest.size(); ++i) {
      const char c = rest[i];
      if (c == '"') {
        if (quoted && rest.substr(i + 1).starts_with('"')) cells.back().text += rest[i++];
        else quoted = !quoted;
        cells.back().quoted = true;
      } else if (quoted) {
        cells.back().text += c;
      } else if (c == ',') {
        cells.emplace_back();
      } else if (c == '\n') {
        rest.remove_prefix(i + 1);
        return cells;
      } else if (c != '\r' || !rest.substr(i + 1).starts_with('\n')) {
        cells.back().text += c;
      }
    }
    rest = {};
    return cells;
  }

  static void read_header(const std::vector<Cell>& cells,
                          std::vector<std::pair<std::string, std::string>>& columns) {
    for (const Cell& cell : cells) {
      const std::size_t dot = cell.text.find('.');
      if (dot == cell.text.npos)
        throw Error(fmt::format("a column must be named collection.name, got \"{}\"; read a file that to_csv "
                                "has written",
                                cell.text));
      columns.emplace_back(cell.text.substr(0, dot), cell.text.substr(dot + 1));
    }
  }
};

}  // namespace abyme

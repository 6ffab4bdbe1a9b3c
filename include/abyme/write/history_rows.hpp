#pragma once

#include <abyme/write/history_row.hpp>
#include <abyme/write/log_column.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abyme {

/// The rows that the copies and the nodes of a `History` share, column by column.
class HistoryRows {
public:
  Logs logs, accumulated;
  Logs last;  // of the last step, be it nothing

  std::size_t size() const { return rows_.size(); }
  HistoryRow at(std::size_t index) const {
    if (index >= size())
      throw Error(fmt::format("History: a row is less than their number, {}, got {}; ask size() before",
                              size(), index));
    const Row& row = rows_[index];
    HistoryRow made{row.elapsed, {}};
    for (const Column& column : forms_[row.form].columns)
      made.logs.add(column.collection, column.name, column.values[row.place]);
    return made;
  }

  void commit(const Elapsed& elapsed, const Logs& given) {
    std::string key;
    each(given, [&](const std::string& collection, const std::string& name, const Value& value) {
      key += key_of(collection, name, LogColumn(value).like());
    });
    const auto [known, is_new] = known_.try_emplace(key, forms_.size());
    if (is_new) {
      forms_.emplace_back();
      each(given, [&](const std::string& collection, const std::string& name, const Value& value) {
        forms_.back().columns.push_back({collection, name, LogColumn(value)});
      });
    }
    Form& form = forms_[known->second];
    auto column = form.columns.begin();
    each(given, [&](auto&, auto&, const Value& value) { (column++)->values.append(value); });
    rows_.push_back({elapsed, known->second, form.rows++});
  }
  void commit(const Elapsed& elapsed) {
    if (!logs.empty()) commit(elapsed, logs);
    last = std::move(logs);
    logs = {};
  }
  void log(const Logs& given) {
    const Logs copy = copied(given);
    logs.merge(copy);
    accumulated.merge(copy);
  }
  void accumulate(const Logs& given) { accumulated.merge(copied(given)); }
  void restart() { *this = {}; }

  /// A key, and whether tensors under it are read as numbers.
  struct Wanted {
    std::string_view key;
    bool number;
  };
  /// For each key what the rows hold that hold all of them.
  std::vector<std::vector<Value>> collect(std::span<const Wanted> wanted) const;

  /// The same with all tensors that are numbers read.
  HistoryRows read() const {
    HistoryRows copy = *this;
    for (Form& form : copy.forms_) {
      for (Column& column : form.columns) column.values = column.values.read();
    }
    return copy;
  }

  void save(Kept& kept) const;
  void load(const Kept& kept);

private:
  struct Column {
    std::string collection, name;
    LogColumn values;
  };
  struct Form {  // rows with the same entries in the same order
    std::vector<Column> columns;
    std::int64_t rows = 0;
  };
  struct Row {
    Elapsed elapsed;
    std::size_t form;
    std::int64_t place;  // in the columns
  };

  template <class Take>
  static void each(const Logs& logs, Take take) {
    for (const auto& [collection, entries] : logs) {
      if (collection == "elapsed") continue;
      for (const auto& [name, value] : entries) take(collection, name, value);
    }
  }
  // Tensors of their own: those that are given may be filled anew, or be a corner of a large one.
  static Logs copied(const Logs& given) {
    Logs copy;
    each(given, [&](const std::string& collection, const std::string& name, const Value& value) {
      const auto* tensor = std::get_if<at::Tensor>(&value);
      copy.add(collection, name, tensor ? Value(tensor->detach().clone()) : value);
    });
    return copy;
  }
  static std::string key_of(const std::string& collection, const std::string& name, const std::string& like) {
    return collection + '.' + name + '.' + like + '.';
  }

  std::vector<Row> rows_;
  std::vector<Form> forms_;
  std::unordered_map<std::string, std::size_t> known_;  // forms, by their entries
};

inline std::vector<std::vector<Value>> HistoryRows::collect(std::span<const Wanted> wanted) const {
  struct Source {
    bool is_elapsed;
    std::optional<LogColumn> values;
  };
  std::vector<std::vector<Source>> sources;  // by form, by key; none for a form that lacks one
  for (const Form& form : forms_) {
    Logs places;  // the index of each column
    for (const Column& column : form.columns)
      places.add(column.collection, column.name, &column - form.columns.data());
    std::vector<Source> found;
    for (const auto& [key, number] : wanted) {
      const Value* place = places.find(key);
      const bool is_elapsed = find_elapsed({}, key, place).has_value();
      if (!is_elapsed && !place) break;
      found.push_back({is_elapsed, {}});
      if (is_elapsed) continue;
      const LogColumn& values = form.columns[static_cast<std::size_t>(std::get<std::int64_t>(*place))].values;
      found.back().values = number ? values.read() : values;
    }
    if (found.size() < wanted.size()) found.clear();
    sources.push_back(std::move(found));
  }
  std::vector<std::vector<Value>> columns(wanted.size());
  std::vector<Value> cells(wanted.size());
  for (const auto& [elapsed, form, place] : rows_) {
    const std::vector<Source>& from = sources[form];
    bool holds_all = !from.empty();
    for (std::size_t i = 0; i < cells.size() && holds_all; ++i) {
      cells[i] =
          from[i].is_elapsed ? *find_elapsed(elapsed, wanted[i].key, nullptr) : (*from[i].values)[place];
      holds_all = kind(cells[i]) != Kind::nothing;
    }
    for (std::size_t i = 0; i < cells.size() && holds_all; ++i) columns[i].push_back(std::move(cells[i]));
  }
  return columns;
}

inline void HistoryRows::save(Kept& kept) const {
  LogColumn steps(std::int64_t{}), samples(std::int64_t{}), time(0.0), date(std::int64_t{}),
      form(std::int64_t{});
  for (const Row& row : rows_) {
    steps.append(row.elapsed.steps);
    samples.append(row.elapsed.samples);
    time.append(row.elapsed.time.count());
    date.append(static_cast<std::int64_t>(row.elapsed.date.time_since_epoch().count()));
    form.append(static_cast<std::int64_t>(row.form));
  }
  keep(kept, "steps", steps);
  keep(kept, "samples", samples);
  keep(kept, "time", time);
  keep(kept, "date", date);
  keep(kept, "form", form);
  Kept all;
  for (std::size_t i = 0; i < forms_.size(); ++i) {
    Kept columns;
    for (std::size_t j = 0; j < forms_[i].columns.size(); ++j) {
      const auto& [collection, name, values] = forms_[i].columns[j];
      Kept column;
      column.data["collection"] = collection;
      column.data["name"] = name;
      values.save(column);
      columns.set_part(std::to_string(j), std::move(column));
    }
    all.set_part(std::to_string(i), std::move(columns));
  }
  kept.set_part("forms", std::move(all));
  keep(kept, "logs", logs);
  keep(kept, "accumulated", accumulated);
  keep(kept, "last", last);
}

inline void HistoryRows::load(const Kept& kept) {
  restart();
  LogColumn steps, samples, time, date, form;
  put_back(kept, "steps", steps);
  put_back(kept, "samples", samples);
  put_back(kept, "time", time);
  put_back(kept, "date", date);
  put_back(kept, "form", form);
  put_back(kept, "logs", logs);
  put_back(kept, "accumulated", accumulated);
  put_back(kept, "last", last);
  const Kept all = kept.part("forms");
  const auto count = [](const Kept& part) {
    return part.data.is_nothing() ? 0 : part.data.as<Record::Entries>().size();
  };
  for (std::size_t i = 0; i < count(all); ++i) {
    const Kept columns = all.part(std::to_string(i));
    Form& made = forms_.emplace_back();
    std::string key;
    for (std::size_t j = 0; j < count(columns); ++j) {
      const Kept column = columns.part(std::to_string(j));
      LogColumn values;
      values.load(column);
      const auto text = [&](const char* name) { return column.data.at(name).as<std::string>(); };
      key += key_of(text("collection"), text("name"), values.like());
      made.columns.push_back({text("collection"), text("name"), std::move(values)});
    }
    known_.emplace(std::move(key), i);
  }
  const auto whole = [](const LogColumn& column, std::int64_t row) {
    return std::get<std::int64_t>(column[row]);
  };
  for (std::int64_t row = 0; row < steps.size(); ++row) {
    const auto in = static_cast<std::size_t>(whole(form, row));
    const Duration since(std::get<double>(time[row]));
    rows_.push_back({{whole(steps, row), whole(samples, row), since, Date(Date::duration(whole(date, row)))},
                     in,
                     forms_.at(in).rows++});
  }
}

}  // namespace abyme

#pragma once

#include <abyme/time/elapsed.hpp>
#include <abyme/write/logs.hpp>

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// What was logged at one moment of a loop.
struct HistoryRow {
  Elapsed elapsed;
  Logs logs;

  /// As `Logs::find`; "steps", "samples", "time", "date" and "date_start", also behind "elapsed.", read
  /// `elapsed`, in seconds.
  std::optional<Value> find(std::string_view key) const;
};

/// A date in seconds since 1970, UTC.
inline double seconds_of(Date date) {
  return std::chrono::duration_cast<Duration>(date.time_since_epoch()).count();
}

inline std::optional<Value> elapsed_entry(const Elapsed& elapsed, std::string_view name) {
  if (name == "steps") return elapsed.steps;
  if (name == "samples") return elapsed.samples;
  if (name == "time") return elapsed.time;
  if (name == "date") return seconds_of(elapsed.date);
  if (name == "date_start") return seconds_of(elapsed.start());
  return std::nullopt;
}

inline std::optional<Value> HistoryRow::find(std::string_view key) const {
  constexpr std::string_view collection = "elapsed.";
  if (key.starts_with(collection)) return elapsed_entry(elapsed, key.substr(collection.size()));
  std::optional<Value> found = elapsed_entry(elapsed, key);
  const Value* logged = logs.find(key);
  if (found && logged)
    throw Error(fmt::format("History: a name without its collection is in one collection, got \"{0}\", which "
                            "is in elapsed and in the logs; write \"elapsed.{0}\" or \"COLLECTION.{0}\"",
                            key));
  if (logged) found = *logged;
  return found;
}

/// The rows that the copies and the nodes of a `History` share.
class HistoryRows {
public:
  Logs logs, accumulated;

  std::size_t size() const { return rows_.size(); }
  HistoryRow at(std::size_t index) const {
    if (index >= size())
      throw Error(fmt::format("History: a row is less than their number, {}, got {}; ask size() before",
                              size(), index));
    return rows_[index];
  }

  void commit(const Elapsed& elapsed, const Logs& added) { rows_.push_back({elapsed, copied(added)}); }
  void commit(const Elapsed& elapsed) {
    if (!logs.empty()) commit(elapsed, logs);
    logs = {};
  }
  void log(const Logs& added) {
    const Logs copy = copied(added);
    logs.merge(copy);
    accumulated.merge(copy);
  }
  void accumulate(const Logs& added) { accumulated.merge(copied(added)); }

  void restart() {
    rows_.clear();
    logs = accumulated = {};
  }

  /// For each key what the rows hold that hold all of them.
  std::vector<std::vector<Value>> columns(std::span<const std::string_view> keys) const {
    std::vector<std::vector<Value>> columns(keys.size());
    std::vector<Value> found(keys.size());
    for (const HistoryRow& row : rows_) {
      bool holds_all = true;
      for (std::size_t i = 0; i < keys.size() && holds_all; ++i) {
        found[i] = row.find(keys[i]).value_or(Value());
        holds_all = kind(found[i]) != Kind::nothing;
      }
      for (std::size_t i = 0; i < keys.size() && holds_all; ++i) columns[i].push_back(std::move(found[i]));
    }
    return columns;
  }

private:
  // Tensors of their own: those that were given may be filled anew, or be a corner of a large one.
  static Logs copied(const Logs& given) {
    Logs copy;
    for (const auto& [collection, entries] : given) {
      if (collection == "elapsed") continue;
      for (const auto& [name, value] : entries) {
        const at::Tensor* tensor = std::get_if<at::Tensor>(&value);
        copy.add(collection, name, tensor ? Value(tensor->detach().clone()) : value);
      }
    }
    return copy;
  }

  std::deque<HistoryRow> rows_;
};

}  // namespace abyme

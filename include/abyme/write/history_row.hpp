#pragma once

#include <abyme/time/elapsed.hpp>
#include <abyme/write/logs.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string_view>

namespace abyme {

/// A date in seconds since 1970, UTC: the nearest double, which is 0.12 microseconds off at most.
inline double seconds_of(Date date) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(date.time_since_epoch());
  return static_cast<double>(whole.count()) + Duration(date.time_since_epoch() - whole).count();
}
inline Date date_of(double seconds) {
  const double whole = std::floor(seconds);
  const auto rest = std::chrono::round<Date::duration>(Duration(seconds - whole));
  return Date(std::chrono::seconds(static_cast<std::int64_t>(whole)) + rest);
}

/// What a key of a row reads in its elapsed: "steps", "samples", "time", "date", "date_start", also behind
/// "elapsed."; none where it is another. \param logged what the key finds in the logs, or null. \throws Error
/// where both have it
inline std::optional<Value> find_elapsed(const Elapsed& elapsed, std::string_view key, const Value* logged) {
  constexpr std::string_view collection = "elapsed.";
  const bool is_full = key.starts_with(collection);
  const std::string_view name = is_full ? key.substr(collection.size()) : key;
  std::optional<Value> found;
  if (name == "steps") found = elapsed.steps;
  else if (name == "samples") found = elapsed.samples;
  else if (name == "time") found = elapsed.time;
  else if (name == "date") found = seconds_of(elapsed.date);
  else if (name == "date_start") found = seconds_of(elapsed.start());
  if (found && logged && !is_full)
    throw Error(fmt::format("History: a name without its collection is in one collection, got \"{0}\", which "
                            "is in elapsed and in the logs; write \"elapsed.{0}\" or \"COLLECTION.{0}\"",
                            key));
  return found;
}

/// What was logged at one moment of a loop.
struct HistoryRow {
  Elapsed elapsed;
  Logs logs;

  /// The value of a name or of "collection.name"; of "steps", "samples", "time", "date" and "date_start",
  /// also behind "elapsed.", in `elapsed`. None where there is none. \throws Error as `Logs::find`
  std::optional<Value> find(std::string_view key) const {
    const Value* logged = logs.find(key);
    std::optional<Value> found = find_elapsed(elapsed, key, logged);
    return found || !logged ? found : *logged;
  }
};

}  // namespace abyme

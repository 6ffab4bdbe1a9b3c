#pragma once

#include <abyme/write/history.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme::tasks {

/// How the rows of an inner loop become one value. `mean` is over rows, `sample_mean` over samples: a row
/// counts with those up to the next one.
enum class Aggregate { last, first, mean, sample_mean, sum, min, max };

/// One way for all entries, a function of their values, or a way for each collection:
/// `{{"metrics", Aggregate::mean}, {"losses", Aggregate::sum}}`, `last` for those that are not named.
class Aggregation {
public:
  using Function = std::function<Value(const std::vector<Value>&)>;

  Aggregation(Aggregate way = Aggregate::last) : way_(way) {}
  template <class F>
    requires std::is_invocable_r_v<Value, F&, const std::vector<Value>&>
  Aggregation(F function) : function_(std::move(function)) {}
  Aggregation(std::initializer_list<std::pair<std::string, Aggregation>> ways) : ways_(ways) {}

  /// \param weights the samples of each value. \throws Error where a number is needed, and a value is none
  Value operator()(std::string_view collection, const std::vector<Value>& values,
                   const std::vector<std::int64_t>& weights) const {
    for (const auto& [name, way] : ways_) {
      if (name == collection) return way(collection, values, weights);
    }
    if (function_) return function_(values);
    switch (way_) {
    case Aggregate::last: return values.back();
    case Aggregate::first: return values.front();
    default: break;
    }
    std::vector<double> numbers;
    for (const Value& value : values) {
      const auto found = number(value);
      if (!found)
        throw Error(
            fmt::format("an aggregation of numbers takes numbers, got {} in \"{}\"; take last, first, or a "
                        "function",
                        to_text(value), collection));
      numbers.push_back(*found);
    }
    double sum = 0, all = 0, weighted = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      sum += numbers[i];
      all += double(weights[i]);
      weighted += numbers[i] * double(weights[i]);
    }
    switch (way_) {
    case Aggregate::mean: return sum / double(numbers.size());
    case Aggregate::sample_mean: return weighted / all;
    case Aggregate::min: return *std::min_element(numbers.begin(), numbers.end());
    case Aggregate::max: return *std::max_element(numbers.begin(), numbers.end());
    default: return sum;
    }
  }

private:
  Aggregate way_ = Aggregate::last;
  Function function_;
  std::vector<std::pair<std::string, Aggregation>> ways_;
};

/// The rows of a history as logs of one value an entry, named `entry_suffix`; without the suffix where it is
/// empty. A row that lacks an entry is left out of it. \param end what had elapsed behind the last row
inline Logs aggregate(const History& history, const Elapsed& end, const Aggregation& aggregation,
                      std::string_view suffix) {
  struct Entry {
    std::string collection, name;
    std::vector<Value> values;
    std::vector<std::int64_t> weights;
  };
  std::vector<Entry> entries;
  std::vector<History::Row> rows;
  for (auto&& row : history) rows.push_back(row);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t next = i + 1 < rows.size() ? rows[i + 1].elapsed.samples : end.samples;
    for (const auto& [collection, logged] : rows[i].logs) {
      for (const auto& each : logged) {
        auto found = std::find_if(entries.begin(), entries.end(),
                                  [&collection = collection, &each](const Entry& entry) {
                                    return entry.collection == collection && entry.name == each.name;
                                  });
        if (found == entries.end()) found = entries.insert(entries.end(), {collection, each.name, {}, {}});
        found->values.push_back(each.value);
        found->weights.push_back(next - rows[i].elapsed.samples);
      }
    }
  }
  Logs logs;
  for (const Entry& each : entries) {
    const std::string name = suffix.empty() ? each.name : fmt::format("{}_{}", each.name, suffix);
    logs.add(each.collection, name, aggregation(each.collection, each.values, each.weights));
  }
  return logs;
}

}  // namespace abyme::tasks

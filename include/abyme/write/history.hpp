#pragma once

#include <abyme/write/history_rows.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// What a loop has logged, row by row. A value whose copies share their rows:
///
///     ab::History history;
///     history.commit(elapsed, ab::Logs().add_metric("loss", loss));
///     auto [steps, loss] = history.collect("steps", "loss");
class History {
public:
  using Row = HistoryRow;

  std::size_t size() const { return rows_->size(); }
  bool empty() const { return size() == 0; }
  /// \throws Error where there is no such row
  Row operator[](std::size_t index) const { return rows_->at(index); }

  class Iterator {
  public:
    using iterator_category = std::input_iterator_tag;  // rows are made when they are asked for
    using value_type = Row;
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = Row;

    Row operator*() const { return rows_->at(index_); }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    void operator++(int) { ++index_; }
    friend bool operator==(const Iterator&, const Iterator&) = default;

  private:
    friend class History;
    Iterator(const HistoryRows& rows, std::size_t index) : rows_(&rows), index_(index) {}
    const HistoryRows* rows_;
    std::size_t index_;
  };
  Iterator begin() const { return {*rows_, 0}; }
  Iterator end() const { return {*rows_, size()}; }

  /// Appends a row, also one without logs. A collection "elapsed" is left out: `row.elapsed` is it. Tensors
  /// are copied without their graph, and stay on their device.
  void commit(const Elapsed& elapsed, const Logs& logs) const { rows_->commit(elapsed, logs); }

  /// What is logged under these keys, from those rows that hold all of them: a vector for one key, a tuple of
  /// vectors of equal length for several. A key is "name" or "collection.name"; "steps", "samples", "time",
  /// "date" and "date_start", in seconds, are read from the row's elapsed. It is collected as double unless
  /// said otherwise: bool, integers, double, std::string, at::Tensor, ab::Duration:
  /// `history.collect<std::int64_t, double>("steps", "loss")`.
  /// \throws Error where a value is something else, or a name is in several collections of a row
  template <class... As, class... Keys>
    requires(sizeof...(Keys) > 0 && (std::convertible_to<const Keys&, std::string_view> && ...))
  auto collect(const Keys&... keys) const {
    static_assert(sizeof...(As) == 0 || sizeof...(As) == sizeof...(Keys),
                  "name a type for each key, or none");
    const std::array<std::string_view, sizeof...(Keys)> names{std::string_view(keys)...};
    std::vector<std::vector<Value>> columns = rows_->columns(names);
    using Types = std::conditional_t<sizeof...(As) == 0, std::tuple<Double<Keys>...>, std::tuple<As...>>;
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      if constexpr (sizeof...(I) == 1) return collected<std::tuple_element_t<0, Types>>(names[0], columns[0]);
      else return std::tuple{collected<std::tuple_element_t<I, Types>>(names[I], columns[I])...};
    }(std::index_sequence_for<Keys...>{});
  }

  /// What was logged since the last commit.
  const Logs& logs() const { return rows_->logs; }
  /// The last value of each entry since the run began.
  const Logs& accumulated() const { return rows_->accumulated; }
  /// Adds to `logs()` and `accumulated()`, as `commit` does.
  void log(const Logs& logs) const { rows_->log(logs); }
  /// Adds to `accumulated()` only: what belongs to no row.
  void accumulate(const Logs& logs) const { rows_->accumulate(logs); }
  /// Ends the row that was logged: appends it, unless nothing was.
  void commit(const Elapsed& elapsed) const { rows_->commit(elapsed); }
  /// Drops what was logged since the last commit, but for `accumulated()`.
  void drop_row() const { rows_->logs = {}; }

private:
  template <class>
  using Double = double;

  template <class T>
  static std::vector<T> collected(std::string_view key, const std::vector<Value>& values) {
    std::vector<T> all;
    all.reserve(values.size());
    for (const Value& value : values) {
      std::optional<T> found = convert<T>(value);
      if (!found)
        throw Error(
            fmt::format("History: \"{0}\" must hold {1} in every row to be collected as one, got {2}; "
                        "collect it as what it is, as in collect<std::string>(\"{0}\")",
                        key, type_name<T>, kind_name(kind(value))));
      all.push_back(*std::move(found));
    }
    return all;
  }

  std::shared_ptr<HistoryRows> rows_ = std::make_shared<HistoryRows>();
};

}  // namespace abyme

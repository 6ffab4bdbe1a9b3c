#pragma once

#include <abyme/write/history_files.hpp>
#include <abyme/write/history_nodes.hpp>
#include <abyme/write/history_rows.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <filesystem>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

/// What a loop has logged, row by row. A value whose copies share their rows, by hand
///
///     ab::History history;
///     history.commit(elapsed, ab::Logs().add_metric("loss", loss));
///     auto [steps, loss] = history.collect("steps", "loss");
///
/// and in a tree, by nodes that it hands out and in callables, which fill a row that is open until
/// `commit_row`:
///
///     epochs("iteration_end", history.add_caller_to_row({"average"}, {.prefix =
///     "train_"}).focus(train_stats),
///            [&] { history.log(ab::Logs().add_metric("rate", rate)); }, history.commit_row());
///
/// A run begins it empty, where one of its nodes hangs in the tree, unless it goes on or is told to `keep`.
/// Snapshots hold it. Tensors are copied without their graph when they are logged, stay on their device, and
/// are read when somebody reads.
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
    using Types = std::conditional_t<sizeof...(As) == 0, std::tuple<Double<Keys>...>, std::tuple<As...>>;
    const std::array<std::string_view, sizeof...(Keys)> names{std::string_view(keys)...};
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      const std::array<HistoryRows::Wanted, sizeof...(I)> wanted{
          HistoryRows::Wanted{names[I], std::is_arithmetic_v<std::tuple_element_t<I, Types>>}...};
      const std::vector<std::vector<Value>> columns = rows_->collect(wanted);
      if constexpr (sizeof...(I) == 1) return collected<std::tuple_element_t<0, Types>>(names[0], columns[0]);
      else return std::tuple{collected<std::tuple_element_t<I, Types>>(names[I], columns[I])...};
    }(std::index_sequence_for<Keys...>{});
  }

  /// What was logged since the last commit.
  const Logs& logs() const { return rows_->logs; }
  /// The last value of each entry since the run began.
  const Logs& accumulated() const { return rows_->accumulated; }
  /// What was logged in the step that `commit_row`, or `commit(elapsed)`, has ended last.
  const Logs& last() const { return rows_->last; }
  /// Adds to `logs()` and `accumulated()`, as `commit` does.
  void log(const Logs& logs) const { rows_->log(logs); }
  /// Adds to `accumulated()` only: what belongs to no row.
  void accumulate(const Logs& logs) const { rows_->accumulate(logs); }
  /// Ends the row that was logged: appends it, unless nothing was.
  void commit(const Elapsed& elapsed) const { rows_->commit(elapsed); }
  /// Forgets the last values, not the rows.
  void drop_accumulated() const { rows_->accumulated = rows_->last = {}; }
  /// Forgets all rows, and what was logged.
  void clear() const { rows_->restart(); }
  /// Drops what was logged since the last commit, but for `accumulated()`.
  void drop_row() const { rows_->logs = {}; }

  /// Logs fields of the caller, or of the node that it is focused on, in the open row; without names all but
  /// objects and options. What is nothing is left out; the entries of a dictionary are named field_key.
  template <class Piece = HistoryAddCallerNode>
  Handle<Piece> add_caller_to_row(const std::vector<std::string>& names = {},
                                  HistoryAddCallerOptions options = {}) const {
    return Handle<Piece>(rows_, names, std::move(options));
  }
  /// Ends the open row, with what has elapsed of the nearest looper above.
  template <class Piece = HistoryCommitRowNode>
  Handle<Piece> commit_row() const {
    return Handle<Piece>(rows_);
  }
  /// Writes the numbers of the open row to a file of JSON Lines; hang it before `commit_row`.
  template <class Piece = HistoryStreamNode>
  Handle<Piece> stream_to(TextFile file) const {
    return Handle<Piece>(rows_, std::move(file));
  }
  template <class Piece = HistoryStreamNode>
  Handle<Piece> stream_to(Input<std::string> path) const {
    return Handle<Piece>(rows_, TextFile(std::move(path)));
  }

  /// Writes all rows to a file, which is replaced in one step: a column for each "collection.name", beginning
  /// with elapsed.steps, elapsed.samples, elapsed.time and elapsed.date, in seconds. Numbers have all their
  /// digits, NaN, Infinity and -Infinity as Python has them; texts are in quotes, what a row lacks is empty.
  /// Larger tensors are JSON in quotes, and come back as that text. \throws Error
  template <class Rows = HistoryRows>
  void to_csv(const std::filesystem::path& path) const {
    HistoryFiles<Rows>::write_csv(*rows_, path);
  }
  template <class Rows = HistoryRows>
  static History from_csv(const std::filesystem::path& path) {
    History history;
    HistoryFiles<Rows>::read_csv(*history.rows_, path);
    return history;
  }
  /// The same as JSON Lines: `{"elapsed": {"steps": 0, ...}, "metrics": {"loss": 0.5}}`. Larger tensors are
  /// nested lists, and come back as tensors of bools, int64 or double. \throws Error
  template <class Rows = HistoryRows>
  void to_jsonl(const std::filesystem::path& path) const {
    HistoryFiles<Rows>::write_jsonl(*rows_, path);
  }
  template <class Rows = HistoryRows>
  static History from_jsonl(const std::filesystem::path& path) {
    History history;
    HistoryFiles<Rows>::read_jsonl(*history.rows_, path);
    return history;
  }

  void save(Kept& kept) const { rows_->save(kept); }
  void load(const Kept& kept) const { rows_->load(kept); }

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

#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/save/file.hpp>
#include <abyme/write/csv_text.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abyme {

/// What the cells of a line hold that nobody fills: what they held in the line before, or `na`.
enum class Unfilled : std::uint8_t { copy, na };

struct CSVWriterOptions {
  Unfilled unfilled = Unfilled::copy;
  std::string na = "na";                 ///< the text of a cell without a value
  bool add_id = true;                    ///< a first column `id`: the number of the line, from 0
  std::vector<std::string> legend = {};  ///< columns that are there from the start, in this order
  std::string separator = ",";
  std::string line_separator = "\n";
};

/// The table that the nodes of a `CSVWriter` share.
class CSVTable {
public:
  explicit CSVTable(CSVWriterOptions options)
      : options_(std::move(options)), format_{options_.separator, options_.line_separator} {
    restart();
  }

  void open_line() {
    line_ = options_.unfilled == Unfilled::copy ? last_ : std::vector<std::string>{};
    line_->resize(columns_.size(), options_.na);
    if (options_.add_id) line_->front() = fmt::format("{}", committed_);
  }
  void set(const std::string& column, const Value& value) {
    if (!line_) throw Error("a line must be open when it is filled, got none; hang csv.open_line() before");
    const auto [found, is_new] = places_.try_emplace(column, columns_.size());
    if (is_new) {
      columns_.push_back(column);
      line_->push_back(options_.na);
    }
    (*line_)[found->second] = csv_text(value, options_.na);
  }
  void commit_line() {
    if (!line_)
      throw Error("a line must be open when it is committed, got none; hang csv.open_line() before");
    last_ = *line_;
    waiting_.push_back(*std::move(line_));
    line_.reset();
    ++committed_;
  }

  /// Writes what was committed since the last time. A column that came since is added to the lines in the
  /// file, which is replaced then in one step; \throws Error, the file has lost nothing and gained nothing.
  /// \param run the id of the run, empty where it has none
  void save(const std::string& run) {
    if (columns_.empty()) return;  // its lines wait for the first column
    if (written_columns_ == columns_.size() && waiting_.empty()) return;
    std::string lines;
    for (std::vector<std::string>& cells : waiting_) {
      cells.resize(columns_.size(), options_.na);
      lines += format_.line(cells);
    }
    if (!begun_) {
      make_folder_of(path_);
      keep_as_backup(path_, run);
      begun_ = true;
    }
    if (written_columns_ == columns_.size()) {
      if (!std::filesystem::exists(path_)) fail_gone();
      File file(path_, File::Open::append);
      file.write_whole(lines);
      file.sync();
      set_owner(path_, run);  // lost where lines of later were cut off
    } else {
      write_atomically(path_, [&](File& file) {
        rewrite(file, lines);
        set_owner(file.path(), run);
      });
      written_columns_ = columns_.size();
    }
    written_ += static_cast<std::int64_t>(waiting_.size());
    waiting_.clear();
  }

  /// Begins an empty table.
  void restart() {
    columns_.clear();
    places_.clear();
    const auto add = [this](const std::string& column) {
      if (places_.try_emplace(column, columns_.size()).second) columns_.push_back(column);
    };
    if (options_.add_id) add("id");
    for (const std::string& column : options_.legend) add(column);
    line_.reset();
    last_.clear();
    waiting_.clear();
    committed_ = 0;
    written_ = 0;
    written_columns_ = 0;
    begun_ = false;
    path_.clear();
  }

  /// For snapshots. The lines in the file stay there: of these only the number is kept.
  void save(Kept& kept) const {
    each_member(*this, [&](const char* name, const auto& member) { keep(kept, name, member); });
  }
  /// Goes on from there: lines and columns that came later are taken from the file. \throws Error where that
  /// is gone, or has fewer lines
  void load(const Kept& kept) {
    each_member(*this, [&](const char* name, auto& member) { put_back(kept, name, member); });
    places_.clear();
    for (std::size_t i = 0; i < columns_.size(); ++i) places_.emplace(columns_[i], i);
    if (begun_) cut();
  }

  /// Names its file, for all nodes and for the length of a run.
  void set_path(std::string path) { path_ = std::move(path); }
  bool has_path() const { return !path_.empty(); }
  std::int64_t committed() const { return committed_; }
  std::int64_t written() const { return written_; }
  std::string fault() const { return format_.fault(); }

private:
  // What a snapshot holds.
  template <class Table, class Visit>
  static void each_member(Table& table, Visit visit) {
    visit("columns", table.columns_);
    visit("line", table.line_);
    visit("last", table.last_);
    visit("waiting", table.waiting_);
    visit("committed", table.committed_);
    visit("written", table.written_);
    visit("written_columns", table.written_columns_);
    visit("begun", table.begun_);
    visit("path", table.path_);
  }

  [[noreturn]] void fail_gone() const {
    throw Error(fmt::format("the file {} must stay where it is while the run writes it, but it is gone; put "
                            "it back, or copy it in place of moving it",
                            path_));
  }
  std::string content() const {
    std::ifstream in(path_, std::ios::binary);
    if (!in) fail_gone();
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Leaves the header and the lines that were written, with the columns that these had.
  void cut() {
    const std::string old = content();
    std::string kept;
    std::string_view rest = old;
    for (std::int64_t i = 0; i <= written_; ++i) {
      const std::size_t length = format_.line_length(rest);
      std::string_view line = rest.substr(0, length);
      if (!line.ends_with(format_.line_separator))
        throw Error(
            fmt::format("the file {} must be that of the run which goes on, with {} lines, got {}; put it "
                        "back, or start anew",
                        path_, written_, std::max<std::int64_t>(i - 1, 0)));
      rest.remove_prefix(length);
      line.remove_suffix(format_.line_separator.size());
      kept.append(line.substr(0, format_.cells_length(line, written_columns_)))
          .append(format_.line_separator);
    }
    if (kept != old) write_atomically(path_, [&](File& file) { file.write(kept); });
  }
  void rewrite(File& file, const std::string& lines) {
    file.write(format_.line(columns_));
    if (written_columns_ > 0) {
      const std::string old = content();
      std::string empty_cells;
      for (std::size_t i = written_columns_; i < columns_.size(); ++i)
        empty_cells += format_.separator + format_.cell(options_.na);
      std::string_view rest = old;
      for (bool is_header = true; !rest.empty(); is_header = false) {
        const std::size_t length = format_.line_length(rest);
        std::string_view line = rest.substr(0, length);
        rest.remove_prefix(length);
        if (is_header) continue;
        if (line.ends_with(format_.line_separator)) line.remove_suffix(format_.line_separator.size());
        file.write(std::string(line) + empty_cells + format_.line_separator);
      }
    }
    file.write(lines);
  }

  CSVWriterOptions options_;
  CSVFormat format_;
  std::vector<std::string> columns_;
  std::unordered_map<std::string, std::size_t> places_;  // by column
  std::optional<std::vector<std::string>> line_;         // open
  std::vector<std::string> last_;                        // committed
  std::vector<std::vector<std::string>> waiting_;        // committed, not written
  std::int64_t committed_ = 0;
  std::int64_t written_ = 0;         // lines in the file
  std::size_t written_columns_ = 0;  // columns in the file; 0: nothing is written yet
  bool begun_ = false;
  std::string path_;  // empty: not read yet
};

}  // namespace abyme

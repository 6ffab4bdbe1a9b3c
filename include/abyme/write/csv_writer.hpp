#pragma once

#include <abyme/save/file.hpp>
#include <abyme/write/csv_text.hpp>
#include <abyme/write/entries.hpp>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
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
  void save(const std::string& path) {
    if (written_columns_ == columns_.size() && waiting_.empty()) return;
    std::string lines;
    for (std::vector<std::string>& cells : waiting_) {
      cells.resize(columns_.size(), options_.na);
      lines += format_.line(cells);
    }
    if (!begun_) {
      make_folder_of(path);
      keep_as_backup(path);
      begun_ = true;
    }
    if (written_columns_ == columns_.size()) {
      File file(path, File::Open::append);
      file.write_whole(lines);
      file.sync();
    } else {
      write_atomically(path, [&](File& file) { rewrite(path, file, lines); });
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
  }

  std::int64_t committed() const { return committed_; }
  std::int64_t written() const { return written_; }
  std::string fault() const { return format_.fault(); }

private:
  void rewrite(const std::string& path, File& file, const std::string& lines) {
    file.write(format_.line(columns_));
    if (written_columns_ > 0) {
      std::ifstream in(path, std::ios::binary);
      if (!in) {
        throw Error(
            fmt::format("the file {} must stay where it is while the run writes it, but it is gone", path));
      }
      const std::string old{std::istreambuf_iterator<char>(in), {}};
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
};

/// What the nodes of a `CSVWriter` share.
class CSVNode : public Node {
public:
  std::int64_t committed() const { return table_->committed(); }
  std::int64_t written() const { return table_->written(); }

  void restart() override {
    Node::restart();
    table_->restart();
  }
  void check(Place& place) const override;

protected:
  explicit CSVNode(std::shared_ptr<CSVTable> table) : table_(std::move(table)) {}
  CSVTable& table() const { return *table_; }

private:
  std::shared_ptr<CSVTable> table_;
};

/// Starts a line. No events. Fields: `committed` (lines so far).
class CSVOpenLineNode : public CSVNode {
public:
  static constexpr auto fields = abyme::fields(field("committed", &CSVOpenLineNode::committed));
  explicit CSVOpenLineNode(std::shared_ptr<CSVTable> table) : CSVNode(std::move(table)) {}
  Step next(Step) override {
    table().open_line();
    return done;
  }
};

/// Puts fields of its caller into the open line, under prefix + name. No events. Fields: `fields`, `prefix`.
/// \throws Error at a dig where no line is open.
class CSVAddCallerNode : public CSVNode {
public:
  using Options = PrefixOptions;
  std::vector<Input<Value>> chosen;
  Options options;
  static constexpr auto fields = abyme::fields(field("fields", &CSVAddCallerNode::chosen));

  CSVAddCallerNode(std::shared_ptr<CSVTable> table, const std::vector<std::string>& names, Options options)
      : CSVNode(std::move(table)), chosen(inputs_of(names)), options(std::move(options)) {}
  Step next(Step) override {
    each_entry(*this, chosen, read(options.prefix),
               [&](const std::string& column, const Value& value) { table().set(column, value); });
    return done;
  }
};

/// Puts the entries of a dictionary into the open line, under prefix + name. No events. Fields: `dictionary`,
/// `prefix`. \throws Error at a dig where no line is open.
class CSVAddDictNode : public CSVNode {
public:
  using Options = PrefixOptions;
  Input<Opaque> dictionary;
  Options options;
  static constexpr auto fields = abyme::fields(field("dictionary", &CSVAddDictNode::dictionary));

  CSVAddDictNode(std::shared_ptr<CSVTable> table, Input<Opaque> dict, Options options)
      : CSVNode(std::move(table)), dictionary(std::move(dict)), options(std::move(options)) {
    dictionary.take_only({&type_id<Dict>});
  }
  Step next(Step) override {
    const std::string prefix = read(options.prefix);
    for (const auto& [name, value] : *static_cast<const Dict*>(read(dictionary).address))
      table().set(prefix + name, value);
    return done;
  }
};

/// Ends the open line. No events. Fields: `committed` (lines so far). \throws Error where no line is open.
class CSVCommitLineNode : public CSVNode {
public:
  static constexpr auto fields = abyme::fields(field("committed", &CSVCommitLineNode::committed));
  explicit CSVCommitLineNode(std::shared_ptr<CSVTable> table) : CSVNode(std::move(table)) {}
  Step next(Step) override {
    table().commit_line();
    return done;
  }
};

/// Writes the committed lines to the file, also at the end of the run, however it ended. No events. Fields:
/// `filename`, `written` (lines in the file). \throws Error where the file can't be written.
class CSVSaveNode : public CSVNode {
public:
  Input<std::string> filename;
  static constexpr auto fields =
      abyme::fields(field("filename", &CSVSaveNode::filename), field("written", &CSVSaveNode::written));

  CSVSaveNode(std::shared_ptr<CSVTable> table, Input<std::string> filename)
      : CSVNode(std::move(table)), filename(std::move(filename)) {}
  void restart() override {
    CSVNode::restart();
    path_.clear();
  }
  Step next(Step) override {
    if (path_.empty()) path_ = read(filename);
    table().save(path_);
    return done;
  }
  void run_ended() override {
    if (committed() > written() && path_.empty()) path_ = filename.find(*this).value_or("");
    if (!path_.empty()) table().save(path_);
  }
  void check(Place& place) const override {
    CSVNode::check(place);
    if (const auto path = filename.constant()) place.claim(*path, &table());
  }

private:
  std::string path_;  // read at the first dig of a run
};

inline void CSVNode::check(Place& place) const {
  const CSVNode* first = nullptr;
  bool opens = false, commits = false, saves = false;
  for (const Node* node : place.nodes()) {
    const auto* other = dynamic_cast<const CSVNode*>(node);
    if (!other || other->table_ != table_) continue;
    if (!first) first = other;
    opens = opens || dynamic_cast<const CSVOpenLineNode*>(node);
    commits = commits || dynamic_cast<const CSVCommitLineNode*>(node);
    saves = saves || dynamic_cast<const CSVSaveNode*>(node);
  }
  if (first != this) return;  // one of them tells it for all
  if (const std::string fault = table_->fault(); !fault.empty()) place.fault(fault);
  for (const auto& [hangs, name] :
       {std::pair{opens, "open_line"}, {commits, "commit_line"}, {saves, "save"}}) {
    if (!hangs) {
      place.fault(fmt::format("a table needs open_line, commit_line and save in the tree, got no {0}; hang "
                              "csv.{0}() where it belongs",
                              name));
    }
  }
}

/// A table, written line by line to a file by nodes that it hands out, which hang wherever they are wanted:
///
///     ab::CSVWriter csv("results.csv");
///     epochs("iteration_start", csv.open_line(), train_data)
///         .at("iteration_end", csv.commit_line(), csv.save());
///     train_data("end", csv.add_caller_to_line({"average"}, {.prefix = "train."}).focus(train_stats));
///
/// A column is there from the first value that it gets; lines before it hold `na` in it. The same column
/// filled again in one line takes the later value. `save` appends what was committed since the last time, or,
/// where a column came, replaces the file in one step; a crash after it loses no line. RFC 4180: cells with
/// separators, quotes or line breaks are quoted; numbers read back as the same numbers, durations are in
/// seconds. The file is touched first by the first `save` of a run; one of an earlier run is kept as
/// NAME.bck. A run that is told to `keep` writes on. Filling or committing before opening is an Error at that
/// dig.
class CSVWriter {
public:
  /// \param filename late-bound where wanted, read at the first `save` of a run; folders are made
  explicit CSVWriter(Input<std::string> filename, CSVWriterOptions options = {})
      : filename_(std::move(filename)), table_(std::make_shared<CSVTable>(std::move(options))) {}

  Handle<CSVOpenLineNode> open_line() const { return Handle<CSVOpenLineNode>(table_); }
  /// Fields of the caller, or of the node that it is focused on; without names all but objects.
  Handle<CSVAddCallerNode> add_caller_to_line(const std::vector<std::string>& names = {},
                                              PrefixOptions options = {}) const {
    return {table_, names, std::move(options)};
  }
  /// A dictionary given here.
  Handle<CSVAddDictNode> add_dict_to_line(Dict dictionary, PrefixOptions options = {}) const {
    const auto kept = std::make_shared<const Dict>(std::move(dictionary));
    return {table_, Input<Opaque>([kept]() -> const Dict& { return *kept; }), std::move(options)};
  }
  /// A dictionary read where it hangs: `aggregator.get("aggregate")`, a callable that returns a reference.
  Handle<CSVAddDictNode> add_dict_to_line(Input<Opaque> dictionary, PrefixOptions options = {}) const {
    return {table_, std::move(dictionary), std::move(options)};
  }
  Handle<CSVCommitLineNode> commit_line() const { return Handle<CSVCommitLineNode>(table_); }
  Handle<CSVSaveNode> save() const { return Handle<CSVSaveNode>(table_, filename_); }

private:
  Input<std::string> filename_;
  std::shared_ptr<CSVTable> table_;
};

}  // namespace abyme

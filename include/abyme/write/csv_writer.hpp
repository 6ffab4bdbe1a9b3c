#pragma once

#include <abyme/write/csv_table.hpp>
#include <abyme/write/entries.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// What the nodes of a `CSVWriter` share.
class CSVNode : public Node {
public:
  std::int64_t committed() const { return table_->committed(); }
  std::int64_t written() const { return table_->written(); }

  void restart() override {
    Node::restart();
    table_->restart();
  }
  void hold(Holdings& holdings) override {
    holdings.add_own(
        "table",
        {[this](Kept& kept) { table_->save(kept); }, [this](const Kept& kept) { table_->load(kept); }},
        table_.get());
  }
  inline void check(Place& place) const override;  // inline here already: see ~Node

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
  Step next(Step) override {
    if (!table().has_path()) table().set_path(read(filename));
    table().save(run()->id);
    return done;
  }
  void run_ended() override {
    if (!table().has_path() && committed() > 0) {
      const auto path = convert<std::string>(filename.show(*this));  // this node may never have been dug
      if (!path) {
        throw Error(fmt::format("committed lines must have a file when the run ends, got none from {}; hang "
                                "csv.save() where it is reached before",
                                filename.text()));
      }
      table().set_path(*path);
    }
    if (table().has_path()) table().save(run()->id);
  }
  void check(Place& place) const override {
    CSVNode::check(place);
    if (const auto path = filename.constant()) place.claim(*path, &table());
  }
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
/// seconds. The file is touched first by the first `save` of a run; one of another run is kept as
/// NAME.bck. A run that is told to `keep` writes on. Filling or committing before opening is an Error at that
/// dig.
class CSVWriter {
public:
  /// \param filename late-bound where wanted, read at the first `save` of a run; folders are made
  explicit CSVWriter(Input<std::string> filename, CSVWriterOptions options = {})
      : filename_(std::move(filename)), table_(std::make_shared<CSVTable>(std::move(options))) {}

  // Templates, so that only a file that hands them out spends its compiler's time on them.
  template <class Piece = CSVOpenLineNode>
  Handle<Piece> open_line() const {
    return Handle<Piece>(table_);
  }
  /// Fields of the caller, or of the node that it is focused on; without names all but objects and options.
  template <class Piece = CSVAddCallerNode>
  Handle<Piece> add_caller_to_line(const std::vector<std::string>& names = {},
                                   PrefixOptions options = {}) const {
    return {table_, names, std::move(options)};
  }
  /// A dictionary given here.
  template <class Piece = CSVAddDictNode>
  Handle<Piece> add_dict_to_line(Dict dictionary, PrefixOptions options = {}) const {
    const auto kept = std::make_shared<const Dict>(std::move(dictionary));
    return {table_, Input<Opaque>([kept]() -> const Dict& { return *kept; }), std::move(options)};
  }
  /// A dictionary read where it hangs: `aggregator.get("aggregate")`, a callable that returns a reference.
  template <class Piece = CSVAddDictNode>
  Handle<Piece> add_dict_to_line(Input<Opaque> dictionary, PrefixOptions options = {}) const {
    return {table_, std::move(dictionary), std::move(options)};
  }
  template <class Piece = CSVCommitLineNode>
  Handle<Piece> commit_line() const {
    return Handle<Piece>(table_);
  }
  template <class Piece = CSVSaveNode>
  Handle<Piece> save() const {
    return Handle<Piece>(table_, filename_);
  }

private:
  Input<std::string> filename_;
  std::shared_ptr<CSVTable> table_;
};

}  // namespace abyme

#pragma once

#include <abyme/write/entries.hpp>
#include <abyme/write/history_rows.hpp>
#include <abyme/write/json_value.hpp>
#include <abyme/write/text_file.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// Tells a snapshot of the rows that nodes share.
inline void hold_rows(Holdings& holdings, HistoryRows& rows) {
  holdings.add_own("history",
                   {[&rows](Kept& kept) { rows.save(kept); }, [&rows](const Kept& kept) { rows.load(kept); }},
                   &rows);
}

/// A fault where no looper above the place counts what a row is stamped with.
inline void need_looper(Place& place) {
  if (!place.looper()) place.fault("a row is stamped by the looper above it, got none; hang it below one");
}

/// What the nodes of a `History` share.
class HistoryNode : public Node {
public:
  std::int64_t rows() const { return static_cast<std::int64_t>(history_->size()); }

  void restart() override {
    Node::restart();
    history_->restart();
  }
  void hold(Holdings& holdings) override { hold_rows(holdings, *history_); }

protected:
  explicit HistoryNode(std::shared_ptr<HistoryRows> rows) : history_(std::move(rows)) {}
  HistoryRows& history() const { return *history_; }

private:
  std::shared_ptr<HistoryRows> history_;
};

struct HistoryAddCallerOptions {
  Input<std::string> collection = "metrics";  ///< read at each dig
  Input<std::string> prefix = "";             ///< put before each name; read at each dig
};

/// Logs fields of its caller in the open row. No events. Fields: `fields`, `collection`, `prefix`.
class HistoryAddCallerNode : public HistoryNode {
public:
  using Options = HistoryAddCallerOptions;
  std::vector<Input<Value>> chosen;
  Options options;
  static constexpr auto fields = abyme::fields(field("fields", &HistoryAddCallerNode::chosen));

  HistoryAddCallerNode(std::shared_ptr<HistoryRows> rows, const std::vector<std::string>& names,
                       Options options)
      : HistoryNode(std::move(rows)), chosen(inputs_of(names)), options(std::move(options)) {}

  Step next(Step) override {
    const std::string collection = read(options.collection), prefix = read(options.prefix);
    Logs logs;
    each_entry(*this, chosen, "", [&](std::string name, const Value& value) {
      std::replace(name.begin(), name.end(), '.', '_');  // the entries of a dictionary are field.key
      if (kind(value) != Kind::nothing) logs.add(collection, prefix + name, value);
    });
    history().log(logs);
    return done;
  }

  void check(Place& place) const override {
    for (const auto& [name, given] :
         {std::pair{"collection", &options.collection}, {"prefix", &options.prefix}}) {
      const auto text = given->constant();
      if (text && text->find('.') != text->npos)
        place.fault(
            fmt::format("{} must have no dot, which stands between a collection and a name, got \"{}\"; "
                        "write an underscore",
                        name, *text));
    }
    for (const Input<Value>& input : chosen) {
      const std::string& name = std::get<CallerField>(input.source()).field;
      const Field* found = place.caller() ? place.caller()->find_field(name) : nullptr;
      if (!found || found->kind != Kind::object) continue;
      const Value held = found->read(*place.caller());
      const Opaque* object = std::get_if<Opaque>(&held);
      if (!object || !object->type || !(*object->type == type_id<Dict>))
        place.fault(
            fmt::format("a history holds no objects, got {}.{}; name fields that are numbers, texts or "
                        "tensors",
                        place.caller()->name(), name));
    }
  }
};

/// Ends the open row, unless nothing was logged, stamped with what has elapsed of the nearest looper above.
/// No events. Fields: `rows` (so far).
class HistoryCommitRowNode : public HistoryNode {
public:
  static constexpr auto fields = abyme::fields(field("rows", &HistoryCommitRowNode::rows));
  explicit HistoryCommitRowNode(std::shared_ptr<HistoryRows> rows) : HistoryNode(std::move(rows)) {}
  Step next(Step) override {
    history().commit(*run()->elapsed());
    return done;
  }
  void check(Place& place) const override { need_looper(place); }
};

/// Writes the numbers of the open row as a line of JSON, `{"steps": 1, "samples": 64, "time": 0.1, "loss":
/// 0.5}`; nothing where there are none. A name that is there already, from another collection, is written as
/// collection.name. No events. Fields: `file`.
class HistoryStreamNode : public PrintingNode {
public:
  static constexpr auto fields = abyme::fields(PrintingNode::fields);
  HistoryStreamNode(std::shared_ptr<HistoryRows> rows, TextFile file)
      : PrintingNode(std::move(file)), history_(std::move(rows)) {}

  void restart() override {
    PrintingNode::restart();
    history_->restart();
  }
  void hold(Holdings& holdings) override {
    PrintingNode::hold(holdings);
    hold_rows(holdings, *history_);
  }

  Step next(Step) override {
    Record line;
    const Elapsed elapsed = *run()->elapsed();
    for (const char* name : {"steps", "samples", "time"})
      line[name] = to_record(*find_elapsed(elapsed, name, nullptr));
    bool has_numbers = false;
    for (const auto& [collection, entries] : history_->logs) {
      for (const auto& [name, value] : entries) {
        const auto* tensor = std::get_if<at::Tensor>(&value);
        if (tensor ? tensor->numel() != 1 : !number(value)) continue;
        line[line.find(name) ? collection + '.' + name : name] =
            to_record(tensor ? tensor->reshape({}) : value);
        has_numbers = true;
      }
    }
    if (has_numbers) print(line.json() + '\n');
    return done;
  }
  void check(Place& place) const override {
    PrintingNode::check(place);
    need_looper(place);
  }

private:
  std::shared_ptr<HistoryRows> history_;
};

}  // namespace abyme

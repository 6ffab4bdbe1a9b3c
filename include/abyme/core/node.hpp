#pragma once

#include <abyme/core/event.hpp>
#include <abyme/core/input.hpp>
#include <abyme/core/node_type.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

class Holdings;

/// A thing in the tree: it has named events, on which children hang, and named fields, which others read.
///
/// A node of one's own derives from it and says in `next` which event comes next; what a run does between two
/// calls of `next` (launch the children, stop, trace) is not the node's business. What its class may declare
/// anew stands at the top.
class Node {
public:
  /// The events: `ab::events("start", "end")`. Without any, `next` is called once a dig and does the whole
  /// work.
  static constexpr Events<0> events{};
  /// What it shows: `ab::fields(ab::field("factor", &WarmUpNode::factor))`.
  static constexpr FieldTable<> fields{};
  /// With a member `Options options`: an aggregate, whose members are shown as fields and printed by
  /// `describe`.
  using Options = NoOptions;
  /// Whether its children see its caller in its place, as with triggers.
  static constexpr bool transparent = false;

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  inline virtual ~Node();  // inline here already, or every file would hold a virtual table

  /// The next event, or `done`. `finished` is `entry` at the start of a dig, afterwards the event whose
  /// children have all run.
  virtual Step next(Step finished) = 0;

  /// Called when the run unwinds through this node, to put back what it changed. The event that it returns
  /// still fires before the node is left: only a ground has one.
  virtual Step left(std::string_view /*reason*/) { return done; }

  /// Called for each node when a run starts that does not go on from an earlier one, before anything else:
  /// the state is set back; a node that writes a file begins it anew.
  virtual void restart() { set_back(); }

  /// Called once for each node before the first child of the run.
  virtual void run_started() {}

  /// Called once for each node when the run has ended, however it ended: writers flush, modes are put back.
  virtual void run_ended() {}

  /// Tells what a snapshot must hold of it beside its state fields: a model, the place in the data.
  virtual void hold(Holdings& /*holdings*/) {}

  /// Whether a run can go on from a snapshot while this event's children run. Not where they read what lives
  /// for this dig only, as the outputs of a pass: a snapshot waits until it is over.
  virtual bool can_go_on_in(Step /*event*/) const { return true; }

  /// Called by the walk for each place in which the node hangs, when it has seen the whole tree, to report
  /// faults of its own.
  virtual void check(Place& /*place*/) const {}

  /// The fields: of its class, unless the node shows more.
  virtual std::span<const Field> shown() const { return type_->fields; }

  /// A field by its name, or null.
  const Field* find_field(std::string_view field_name) const {
    for (const Field& row : shown()) {
      if (row.name == field_name) return &row;
    }
    return nullptr;
  }

  const NodeType& type() const { return *type_; }

  /// The name given by `named`, otherwise its type.
  std::string_view name() const { return name_.empty() ? type_->name : std::string_view(name_); }
  bool is_named() const { return !name_.empty(); }

  std::span<const std::shared_ptr<Node>> children(Step event) const {
    return children_[static_cast<std::size_t>(event.index)];
  }
  bool has_children() const {
    for (const auto& hung : children_) {
      if (!hung.empty()) return true;
    }
    return false;
  }

  /// What it sees in place of its caller, where `focus` was called; null where that node is gone or there is
  /// none.
  std::shared_ptr<Node> focus() const { return focus_.lock(); }

  /// Who dug it, as it sees it: null outside a run.
  Node* caller() const { return caller_; }
  /// The run that digs it: null outside a run.
  Run* run() const { return run_; }

  /// Sets its state fields to what they were at construction.
  void set_back() {
    if (initial_) type_->put_state(*this, initial_.get());
  }

protected:
  /// Whether the run must be told of this event: something hangs on it, or the run is to stop. A node on a
  /// fast path may go on to the next one where it need not.
  inline bool fires(Step event) const;

  /// The value of an input, now. \throws Error where there is none yet.
  template <class T>
  T read(const Input<T>& input) const {
    return input.read(*this);
  }

private:
  template <class, class>
  friend class HandleOf;
  friend class Run;
  friend class Walk;

  void hang(Step event, std::shared_ptr<Node> child);  // in run.hpp: a child hung while it runs is walked
  void set_type(const NodeType& type) {
    type_ = &type;
    children_.resize(type.events.size());
    quiet_ = type.events.size() < 64 ? (std::uint64_t{1} << type.events.size()) - 1 : ~std::uint64_t{0};
    if (type.copy_state) initial_ = type.copy_state(*this);
  }
  // Whether it has the event and nothing hangs there; false where one must look closer.
  bool is_quiet(Step event) const {
    const auto index = static_cast<std::uint32_t>(event.index);
    return index < 64 && (quiet_ >> index & 1) != 0;
  }
  const NodeType* type_ = nullptr;  // set by the handle that makes the node, never null after
  std::string name_;
  std::vector<std::vector<std::shared_ptr<Node>>> children_;  // by event
  std::uint64_t quiet_ = 0;  // bit by bit, of the first 64 events: nothing was ever hung there
  std::weak_ptr<Node> focus_;
  bool has_focus_ = false;
  std::shared_ptr<void> initial_;  // the state fields as constructed

  // For the length of a run:
  Run* run_ = nullptr;
  Node* caller_ = nullptr;
  Node* focused_ = nullptr;  // focus_, locked by the run
};

/// A tree may be deeper than the stack: children are taken out and destroyed one by one.
inline Node::~Node() {
  std::vector<std::shared_ptr<Node>> last;
  const auto take = [&last](Node& node) {
    for (auto& hung : node.children_) {
      for (auto& child : hung) {
        if (child.use_count() == 1) last.push_back(std::move(child));
      }
    }
  };
  take(*this);
  while (!last.empty()) {
    const std::shared_ptr<Node> node = std::move(last.back());
    last.pop_back();
    take(*node);
  }
}

// ---- what needs the node ----

inline std::string field_names(const Node& node) {
  std::string names;
  for (const Field& row : node.shown()) names.append(names.empty() ? "" : ", ").append(row.name);
  return names.empty() ? "none" : names;
}

inline Value Look::operator()() const {
  const std::shared_ptr<Node> node = node_.lock();
  if (!node)
    throw Error(
        fmt::format("get(\"{}\"): the node must be alive, but it is gone; keep a handle of it", field_));
  const Field* found = node->find_field(field_);
  if (!found) {
    throw Error(fmt::format("{}: get takes one of its fields ({}), got \"{}\"", node->name(),
                            field_names(*node), field_));
  }
  return found->read(*node);
}

template <class T>
T Look::as() const {
  const Value value = (*this)();
  std::optional<T> found = convert<T>(value);
  if (!found) {
    throw Error(fmt::format("get(\"{}\"): the field must hold {}, got {}", field_, type_name<T>,
                            kind_name(kind(value))));
  }
  return *std::move(found);
}

// What the slots look at is alive during a run only.
inline const InputBase::Slot* InputBase::slot_for(const Node* caller) const {
  for (const Slot& slot : slots_) {
    if (slot.node == caller || std::holds_alternative<Look>(source_)) return &slot;
  }
  return nullptr;
}

inline Value InputBase::value(const Node& reader) const {
  if (const Value* constant = std::get_if<Value>(&source_)) return *constant;
  if (const Call* call = std::get_if<Call>(&source_)) return call->call(reader.caller(), reader.run());
  const Slot* slot = reader.run() ? slot_for(reader.caller()) : nullptr;
  return slot ? slot->field->read(*slot->node) : show(reader);
}

inline bool InputBase::number(const Node& reader, double& number) const {
  const Slot* slot = reader.run() ? slot_for(reader.caller()) : nullptr;
  return slot && slot->field->number && slot->field->number(*slot->node, number);
}

inline Opaque InputBase::object(const Node& reader) const {
  const Slot* slot = reader.run() ? slot_for(reader.caller()) : nullptr;
  return slot && slot->field->object ? slot->field->object(*slot->node) : Opaque{};
}

inline Value InputBase::show(const Node& reader) const {
  if (const Value* constant = std::get_if<Value>(&source_)) return *constant;
  if (const Look* look = std::get_if<Look>(&source_)) {
    const std::shared_ptr<Node> node = look->node();
    const Field* field = node ? node->find_field(look->field()) : nullptr;
    return field ? field->read(*node) : Value{};
  }
  if (const Call* call = std::get_if<Call>(&source_)) {
    return call->call.ready(reader.caller(), reader.run()) ? call->call(reader.caller(), reader.run())
                                                           : Value{};
  }
  const Node* from = reader.caller();
  const Field* field = from ? from->find_field(std::get<CallerField>(source_).field) : nullptr;
  return field ? field->read(*from) : Value{};
}

inline Kind InputBase::kind_for(const Node& caller) const {
  if (const Value* constant = std::get_if<Value>(&source_)) return kind(*constant);
  if (const Call* call = std::get_if<Call>(&source_)) return call->kind;
  const Slot* slot = slot_for(&caller);
  return slot ? slot->field->kind : Kind::any;
}

inline std::string InputBase::text() const {
  if (const Value* constant = std::get_if<Value>(&source_)) {
    return kind(*constant) == Kind::text ? fmt::format("{:?}", to_text(*constant)) : to_text(*constant);
  }
  if (const CallerField* field = std::get_if<CallerField>(&source_)) return "caller." + field->field;
  if (const Look* look = std::get_if<Look>(&source_)) {
    const std::shared_ptr<Node> node = look->node();
    return fmt::format("{}.{}", node ? node->name() : "(gone)", look->field());
  }
  return "callable";
}

inline void InputBase::fail_empty(const Node& reader) const {  // the run puts the path before it
  const Value held = value(reader);
  const Kind got = kind(held) != Kind::object || convert<Opaque>(held) ? kind(held) : Kind::nothing;
  throw Error(
      fmt::format("{} must hold {} when it is read, got {}", text(), kind_name(wanted_), kind_name(got)));
}

inline bool InputBase::fits(Kind kind) const {
  const auto in = [kind](auto... kinds) { return ((kind == kinds) || ...); };
  if (in(Kind::any, wanted_) || wanted_ == Kind::any) return true;
  switch (wanted_) {
  case Kind::boolean: return in(Kind::integer, Kind::number, Kind::tensor);
  case Kind::integer: return in(Kind::boolean, Kind::tensor);
  case Kind::number: return in(Kind::boolean, Kind::integer, Kind::tensor, Kind::duration);
  case Kind::text: return kind != Kind::object;
  default: return false;
  }
}

}  // namespace abyme

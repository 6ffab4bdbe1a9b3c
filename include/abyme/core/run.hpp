#pragma once

#include <abyme/core/handle.hpp>
#include <abyme/core/signals.hpp>
#include <abyme/core/walk.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <unistd.h>

namespace abyme {

/// Something to be done where a run can go on from: a snapshot.
class BoundaryTask {
public:
  virtual ~BoundaryTask() = default;
  virtual void at_boundary(Run& run) = 0;
};

/// The stack of frames that digs a tree. Nodes don't recurse: a node says which event comes next, the run
/// launches the children, so here is the one place for tracing, stops and error paths.
class Run {
public:
  /// Walks the tree. \throws WiringError with all its faults, before anything has run.
  explicit Run(std::shared_ptr<Node> root);
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  /// Starts every node of the tree anew: its `state` fields are what they were at construction.
  void restart() {
    for (Node* node : walk_->nodes()) node->restart();
  }

  /// Digs the root until it is done. \throws Error where the user's code or a node threw, with the path, the
  /// original nested inside, after every `final`. \param begin called when every node has started, to go on
  /// from a snapshot; \param signals end the run in order, see `Signals`
  void dig(const std::function<void(Run&)>& begin = {}, const std::vector<int>& signals = {});

  /// Ends the whole run: unwinds to `final` when the child that asks for it returns.
  void stop(std::string reason) { ask({nullptr, std::move(reason), {}, {}}); }

  /// Ends one node: the rest of its work is dropped, its parent goes on with the next child.
  /// \throws Error where the node is not running.
  void break_to(const Node& target, std::string reason);

  /// Where the run is now: the path of the child that runs.
  std::string path() const;

  const Walk& walk() const { return *walk_; }

  /// Calls the task where every node that is running can be entered again: at once, or behind this child, at
  /// the first place where that is so.
  void at_boundary(BoundaryTask& task);

  /// Whether the tree takes snapshots, so that nodes must remember what only these need.
  bool keeps_positions() const { return keeps_positions_; }

  /// How long it runs, those from which it goes on included.
  Duration time() const { return before_ + (std::chrono::steady_clock::now() - began_); }
  void set_time(Duration time) {
    before_ = time;
    began_ = std::chrono::steady_clock::now();
  }

  /// How much is done of the nearest looper above the child that runs; none where there is no looper. Needs
  /// `<abyme/time/elapsed.hpp>`.
  template <class Now = Elapsed>
  std::optional<Now> elapsed() const {
    if (Now(*elapsed_of)(const Node&) = frameless() ? frameless()->type_->elapsed : nullptr)
      return elapsed_of(*frameless());
    for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
      if (Now(*elapsed_of)(const Node&) = frame->node->type_->elapsed) return elapsed_of(*frame->node);
    }
    return std::nullopt;
  }

  /// The frames, each as the path of its node, its event, and the number of its next child; nothing where a
  /// child was hung while the tree ran, since a new tree would not have it.
  Record position() const;
  /// Goes on from there, in place of from the root. \throws Error where the tree has no such place.
  void set_position(const Record& position);

  /// The same for all runs that go on from one another, of a tree that takes snapshots; otherwise empty.
  /// Files get it, so that a run which goes on replaces none but its own.
  std::string id;

private:
  using Children = std::vector<std::shared_ptr<Node>>;
  struct Frame {
    Node* node;
    Node* shown;                                  // what its children see, where they have no focus
    const std::shared_ptr<Node>* next = nullptr;  // the children of the event that have not run
    const std::shared_ptr<Node>* last = nullptr;
    Step event = entry;
    bool leaving = false;  // its last event runs while the run unwinds through it

    explicit Frame(Node& node) : node(&node), shown(node.type_->transparent ? node.caller_ : &node) {}
    Frame(Node& node, Step entered) : Frame(node) { enter(entered); }
    void enter(Step entered) {
      const Children& children = node->children_[static_cast<std::size_t>(entered.index)];
      event = entered;
      next = children.data();
      last = next + children.size();
    }
  };
  struct Stop {
    const Node* target;  // the node that ends; null: all
    std::string reason;
    std::exception_ptr error;
    std::string message;
  };
  struct Suspended {  // a stop that waits until the frame at this depth has left
    std::size_t depth;
    Stop stop;
  };

  friend class Node;
  void hang(Children& children, std::shared_ptr<Node> child);
  void adopt(std::unique_ptr<Walk> walk);

  // ---- the step path: nothing here allocates, looks up a name, or formats ----

  // Runs the frames until none is left or something is thrown. Apart from the handlers in `dig`, which would
  // take registers.
  [[gnu::noinline]] void run_frames() {
    for (;;) {
      if (attention_.load(std::memory_order_relaxed)) [[unlikely]] {
        attend();
        if (frames_.empty()) return;
        if (stop_) continue;
      }
      Frame& frame = frames_.back();
      if (frame.next == frame.last) {
        leaf_ = nullptr;
        const Step event = next_event(*frame.node, frame.event);
        if (event != done) {
          frames_.back().enter(event);
        } else {
          pop();
          if (frames_.empty()) return;
        }
        continue;
      }
      Node& child = **frame.next++;
      child.caller_ = child.focused_ ? child.focused_ : frame.shown;
      leaf_ = &child;
      if (child.type_->events.empty()) {  // it does all its work at once
        child.next(entry);
        continue;
      }
      const Step event = next_event(child, entry);
      leaf_ = nullptr;
      if (event != done) frames_.emplace_back(child, event);  // not before: most have no children just then
      else if (stop_) [[unlikely]] left_by(child);
    }
  }

  // The node's next event on which something hangs, or `done`. Where the run is to stop, any event: a node
  // may ask for that between its events.
  Step next_event(Node& node, Step finished) {
    do {  // an event without children costs a few instructions
      finished = node.next(finished);
    } while (node.is_quiet(finished) && !stop_);
    if (finished != done) check_step(node, finished, "next");
    return finished;
  }

  // ---- beside it ----

  bool can_go_on() const;
  void attend();
  Node* frameless() const { return leaf_ && !leaf_->type_->events.empty() ? leaf_ : nullptr; }
  void pop();
  void left_by(const Node& node);
  void unwind();
  static void check_step(const Node& node, Step step, std::string_view function);
  bool reaches_further(const Node* target) const;
  void ask(Stop stop);
  void fail(std::exception_ptr error, std::string where);
  void end();

  std::shared_ptr<Node> root_;
  std::unique_ptr<Walk> walk_;
  std::unordered_set<std::shared_ptr<Node>> held_;  // what this walk and those before it look at
  std::vector<Frame> frames_;
  std::atomic<bool> attention_ = false;  // something is to be done before the next child
  const Signals* signals_ = nullptr;     // while it digs
  BoundaryTask* waiting_ = nullptr;
  std::optional<std::string> stop_after_;  // it: why
  bool keeps_positions_ = false;
  bool grew_ = false;   // a child was hung while the tree ran
  Duration before_{0};  // the time of the runs before
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  Node* leaf_ = nullptr;  // the child that runs, where it has no frame
  std::optional<Stop> stop_;
  std::vector<Suspended> suspended_;
};

inline Run::Run(std::shared_ptr<Node> root) : root_(std::move(root)) {
  auto walk = std::make_unique<Walk>(*root_);
  if (!walk->faults().empty()) throw WiringError(walk->faults());
  adopt(std::move(walk));
}

inline Run::~Run() {
  for (Node* node : walk_->nodes()) {
    node->run_ = nullptr;
    node->caller_ = nullptr;
    node->focused_ = nullptr;
  }
}

inline void Run::adopt(std::unique_ptr<Walk> walk) {
  walk_ = std::move(walk);
  held_.insert(walk_->looked_at().begin(), walk_->looked_at().end());
  for (Node* node : walk_->nodes()) {
    node->run_ = this;
    node->focused_ = node->focus().get();
    keeps_positions_ = keeps_positions_ || dynamic_cast<BoundaryTask*>(node);
  }
  frames_.reserve(walk_->depth());
}

inline void Run::pop() {
  const Node& node = *frames_.back().node;
  frames_.pop_back();
  if (stop_ || !suspended_.empty()) [[unlikely]]
    left_by(node);
}

inline bool Node::fires(Step event) const { return !is_quiet(event) || run_->stop_; }

inline std::string Run::path() const {
  std::vector<Link> links;
  Step event = entry;
  std::size_t index = 0;
  for (const Frame& frame : frames_) {
    links.push_back({frame.node, event, index});
    event = frame.event;
    const auto* first = event == entry ? nullptr : frame.node->children(event).data();
    index = frame.next == first ? 0 : static_cast<std::size_t>(frame.next - first) - 1;
  }
  if (leaf_) links.push_back({leaf_, event, index});
  return links.empty() ? std::string(root_->name()) : path_text(links);
}

inline void Run::dig(const std::function<void(Run&)>& begin, const std::vector<int>& signals) {
  const Signals watch(signals, attention_);
  signals_ = &watch;
  if (keeps_positions_) {
    const auto now = std::chrono::system_clock::now().time_since_epoch().count();
    id = fmt::format("{:x}-{:x}-{:x}", now, ::getpid(), reinterpret_cast<std::uintptr_t>(this));
  }
  try {
    for (Node* node : std::vector<Node*>(walk_->nodes())) node->run_started();  // it may hang children
    if (begin) begin(*this);
    if (frames_.empty()) frames_.emplace_back(*root_);
  } catch (...) {
    fail(std::current_exception(), path());
  }
  while (!frames_.empty()) {
    try {
      run_frames();
    } catch (...) {
      fail(std::current_exception(), path());
      if (Node* child = frameless()) frames_.emplace_back(*child);  // so that it is left as well
    }
  }
  end();
}

}  // namespace abyme

// The rest of it, each a matter of its own.
#include <abyme/core/boundaries.hpp>
#include <abyme/core/hang.hpp>
#include <abyme/core/stops.hpp>

#pragma once

#include <abyme/core/run.hpp>

#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// How a run ends before it is done: stops, breaks, errors; run.hpp includes it.
namespace abyme {

inline void Run::check_step(const Node& node, Step step, std::string_view function) {
  if (static_cast<std::size_t>(step.index) < node.type_->events.size()) return;
  throw Error(fmt::format("{} must return one of {}'s own events or done, got number {}", function,
                          node.name(), step.index));
}

inline void Run::unwind() {
  leaf_ = nullptr;
  if (!std::exchange(frames_.back().leaving, true)) {
    Node& node = *frames_.back().node;
    const Step last = node.left(stop_->reason);
    if (last != done) {
      check_step(node, last, "left");
      suspended_.push_back({frames_.size() - 1, *std::exchange(stop_, std::nullopt)});
      return frames_.back().enter(last);
    }
  }
  pop();
}

// Whether a stop for this node ends more than the one that holds.
inline bool Run::reaches_further(const Node* target) const {
  if (!target || !stop_->target) return !target && stop_->target;
  for (const Frame& frame : frames_) {
    if (frame.node == stop_->target) return false;
    if (frame.node == target) return true;
  }
  return false;
}

// What waited for this node to be left.
inline void Run::left_by(const Node& node) {
  if (!suspended_.empty() && suspended_.back().depth == frames_.size()) {
    Stop first = std::move(suspended_.back().stop);
    suspended_.pop_back();
    std::optional<Stop> second = std::exchange(stop_, std::nullopt);
    ask(std::move(first));
    if (second) ask(*std::move(second));
  }
  if (stop_ && stop_->target == &node) stop_.reset();
}

// The first stop holds, unless a later one is an error or reaches further; of two errors both are told.
inline void Run::ask(Stop stop) {
  attention_ = true;
  if (!stop_ || (stop.error && !stop_->error) || (!stop.error && reaches_further(stop.target))) {
    stop_ = std::move(stop);
  } else if (stop.error) {
    stop_->message += "\n  then, while the run ended: " + stop.message;
  }
}

inline void Run::break_to(const Node& target, std::string reason) {
  bool is_running = frameless() == &target;
  for (const Frame& frame : frames_) {
    is_running = is_running || frame.node == &target;
  }
  if (is_running) return ask({&target, std::move(reason), {}, {}});
  throw Error(fmt::format("the node that a break ends must be running, got {}, which is not above it; hang "
                          "the break below that node",
                          target.name()));
}

inline void Run::fail(std::exception_ptr error, std::string where) {
  std::string what = "an exception that is no std::exception";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& caught) {
    what = caught.what();
  } catch (...) {
  }
  ask({nullptr, "error: " + what, std::move(error), fmt::format("{}: {}", where, what)});
}

inline void Run::end() {
  for (Node* node : std::vector<Node*>(walk_->nodes())) {
    try {
      node->run_ended();
    } catch (...) {
      fail(std::current_exception(), std::string(node->name()));
    }
  }
  if (!stop_ || !stop_->error) return;
  try {
    std::rethrow_exception(stop_->error);
  } catch (...) {
    std::throw_with_nested(Error(stop_->message));
  }
}

}  // namespace abyme

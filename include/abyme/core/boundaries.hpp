#pragma once

#include <abyme/core/run.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Where a run can go on from: what is done between two children, and where the run is; run.hpp includes it.
namespace abyme {

inline void Run::attend() {
  if (stop_) return unwind();
  attention_ = false;
  if (const int number = signals_ ? signals_->take() : 0) {
    stop_after_ = fmt::format("signal {}", Signals::name(number));
    for (Node* node : walk_->nodes()) {
      if (!waiting_) waiting_ = dynamic_cast<BoundaryTask*>(node);
    }
  }
  if (waiting_ && can_go_on()) std::exchange(waiting_, nullptr)->at_boundary(*this);
  if (waiting_) attention_ = true;
  else if (stop_after_) stop(*std::exchange(stop_after_, std::nullopt));
}

inline bool Run::can_go_on() const {
  if (stop_ || !suspended_.empty() || frameless()) return false;
  for (const Frame& frame : frames_) {
    if (!frame.node->can_go_on_in(frame.event)) return false;
  }
  return true;
}

inline void Run::at_boundary(BoundaryTask& task) {
  if (can_go_on()) return task.at_boundary(*this);
  waiting_ = &task;
  attention_ = true;
}

inline Record Run::position() const {
  if (grew_) return {};
  Record::List frames;
  for (const Frame& frame : frames_) {
    Record record;
    record["node"] = walk_->path_of(*frame.node);
    record["event"] = frame.node->type().events[static_cast<std::size_t>(frame.event.index)];
    record["next"] = frame.next - frame.node->children(frame.event).data();
    frames.push_back(std::move(record));
  }
  return frames;
}

inline void Run::set_position(const Record& position) {
  struct Place {
    Node* node;
    Step event;
    std::int64_t next;
  };
  std::vector<Place> places;
  for (const Record& record : position.as<Record::List>()) {
    const std::string& path = record.at("node").as<std::string>();
    const std::string& event = record.at("event").as<std::string>();
    const std::int64_t next = record.at("next").as<std::int64_t>();
    Node* found = walk_->find(path);
    const auto names = found ? found->type().events : std::span<const std::string_view>();
    const auto index = static_cast<std::size_t>(std::find(names.begin(), names.end(), event) - names.begin());
    const Step step{static_cast<std::int32_t>(index)};
    if (index == names.size() || next < 0 || static_cast<std::size_t>(next) > found->children(step).size()) {
      throw Error(
          fmt::format("the tree must have the place where the snapshot was taken, got none at child {} "
                      "of \"{}\" in {}; build the tree as it was, or start anew",
                      next, event, path));
    }
    places.push_back({found, step, next});
  }
  for (const Place& place : places) {
    Node& node = *place.node;
    Node* above = frames_.empty() ? nullptr : frames_.back().shown;
    node.caller_ = node.focused_ ? node.focused_ : above;
    frames_.emplace_back(node, place.event).next += place.next;
  }
}

}  // namespace abyme

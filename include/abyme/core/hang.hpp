#pragma once

#include <abyme/core/run.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

// How a tree grows while it runs; run.hpp includes it.
namespace abyme {

// A child hung while the tree runs is walked as it is hung. Its siblings may lie elsewhere then: the frame
// that runs through them is told.
inline void Run::hang(Children& children, std::shared_ptr<Node> child) {
  Frame* through = nullptr;
  for (Frame& frame : frames_) {
    if (frame.event != entry &&
        &frame.node->children_[static_cast<std::size_t>(frame.event.index)] == &children)
      through = &frame;
  }
  const std::size_t next = through ? static_cast<std::size_t>(through->next - children.data()) : 0;
  const auto tell = [&] {
    if (!through) return;
    through->enter(through->event);
    through->next += next;
  };

  children.push_back(std::move(child));
  tell();
  std::unique_ptr<Walk> walk;
  try {
    walk = std::make_unique<Walk>(*root_, this);
    if (!walk->faults().empty()) throw WiringError(walk->faults());
  } catch (...) {
    children.pop_back();
    tell();
    throw;
  }
  grew_ = true;
  std::vector<Node*> added;
  for (Node* node : walk->nodes()) {
    if (!node->run_) added.push_back(node);
  }
  adopt(std::move(walk));
  for (Node* node : added) node->run_started();
}

inline void Node::hang(Step event, std::shared_ptr<Node> child) {
  auto& children = children_[static_cast<std::size_t>(event.index)];
  if (event.index < 64) quiet_ &= ~(std::uint64_t{1} << event.index);
  if (run_) run_->hang(children, std::move(child));
  else children.push_back(std::move(child));
}

}  // namespace abyme

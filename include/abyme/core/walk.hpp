#pragma once

#include <abyme/core/fault.hpp>
#include <abyme/core/node.hpp>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace abyme {

/// A node and where it hangs in its parent.
struct Link {
  const Node* node;
  Step event;  // of the parent; `entry` for the root
  std::size_t index;
};

/// `epochs/iteration_start[1]/train_data`: names, with the event and the place in it between them. The ground
/// at the root is left out, and so is its event `dig` where the name alone tells which child is meant.
std::string path_text(std::span<const Link> links);

/// The pass over a tree before the first step, which finds every fault. Depth costs no stack.
class Walk {
public:
  /// \param run the run that digs the tree already, when it is walked again
  explicit Walk(Node& root, const Run* run = nullptr);

  /// Each node once, in the order of the first path to it.
  const std::vector<Node*>& nodes() const { return nodes_; }
  const std::vector<Fault>& faults() const { return faults_; }
  std::size_t depth() const { return depth_; }
  /// What the tree looks at and does not own.
  const std::vector<std::shared_ptr<Node>>& looked_at() const { return looked_at_; }
  bool contains(const Node& node) const { return known_.contains(&node); }
  /// The first path to a node, by which a snapshot knows it.
  std::string path_of(const Node& node) const {
    const auto found = known_.find(&node);
    return found == known_.end() ? std::string(node.name()) : path(found->second.first);
  }
  /// The node whose first path this is; null where there is none.
  Node* find(std::string_view path) const {
    for (Node* node : nodes_) {
      if (path_of(*node) == path) return node;
    }
    return nullptr;
  }

private:
  friend class Place;
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  struct Visit {  // a node with one of its callers
    Link link;
    Node* caller;
    std::size_t parent;
  };
  struct Known {
    std::size_t first = none;          // visit
    std::vector<const Node*> callers;  // with which it was visited
    bool on_path = false;
  };
  struct Cursor {
    std::size_t visit;
    Step event;
    std::size_t index;
  };

  // Visits the node; true where its children must be visited too.
  bool visit(Node& node, Node* caller, Link link, std::size_t parent, const Run* run);
  std::string path(std::size_t visit) const;
  Node* shown_by(const Visit& visit) const;

  std::vector<Visit> visits_;
  std::unordered_map<const Node*, Known> known_;
  std::map<std::string, const Node*> names_;
  struct Claim {
    const void* writer;
    std::string path;  // of the node that came first
  };
  std::map<std::string, Claim> claims_;  // by file
  std::vector<Node*> nodes_;
  std::vector<Fault> faults_;
  std::vector<std::size_t> faulty_;  // the visit of each fault
  std::vector<std::shared_ptr<Node>> looked_at_;
  std::size_t depth_ = 0;
};

/// A node in one place of the tree, as its `check` sees it.
class Place {
public:
  Place(Walk& walk, std::size_t visit) : walk_(walk), visit_(visit) {}

  Node& node() const { return *const_cast<Node*>(walk_.visits_[visit_].link.node); }
  /// What the node sees as its caller here; null for the root.
  Node* caller() const { return walk_.visits_[visit_].caller; }
  std::string path() const { return walk_.path(visit_); }

  /// Reports a fault: `rule, got value; remedy`. The path is put before it.
  void fault(std::string message) const {
    walk_.faults_.push_back({path(), std::move(message)});
    walk_.faulty_.push_back(visit_);
  }
  /// Whether `other` is on the path to this place.
  bool below(const Node& other) const {
    for (auto at = walk_.visits_[visit_].parent; at != Walk::none; at = walk_.visits_[at].parent) {
      if (walk_.visits_[at].link.node == &other) return true;
    }
    return false;
  }
  /// The nearest looper above that counts, whose `elapsed()` a run reads here; null where there is none.
  const Node* looper() const {
    for (auto at = walk_.visits_[visit_].parent; at != Walk::none; at = walk_.visits_[at].parent) {
      if (const Node* node = walk_.visits_[at].link.node; node->type().elapsed) return node;
    }
    return nullptr;
  }
  /// All nodes of the tree, each once.
  const std::vector<Node*>& nodes() const { return walk_.nodes(); }
  const Walk& walk() const { return walk_; }
  /// Says that `writer` alone writes `file`: this node, or what it shares with others that write there too.
  /// A fault where somebody else in the tree does.
  void claim(const std::string& file, const void* writer = nullptr) const {
    if (!writer) writer = &node();
    if (file.empty()) return fault("a file needs a name, got \"\"; pass one");
    const auto name = std::filesystem::absolute(file).lexically_normal().string();
    const auto [found, is_new] = walk_.claims_.try_emplace(name, Walk::Claim{writer, path()});
    if (!is_new && found->second.writer != writer) {
      fault(fmt::format("a file is written by one node, got \"{}\", which {} writes; give each its own", file,
                        found->second.path));
    }
  }
  /// Keeps a node alive for the length of the run.
  void hold(std::shared_ptr<Node> looked_at) const { walk_.looked_at_.push_back(std::move(looked_at)); }

private:
  Walk& walk_;
  std::size_t visit_;
};

inline std::string path_text(std::span<const Link> links) {
  if (links.size() == 1) return std::string(links[0].node->name());
  std::string text;
  for (std::size_t i = 1; i < links.size(); ++i) {
    const Node& parent = *links[i - 1].node;
    bool told_by_name = i == 1 && links[i].event.index == 0;
    if (told_by_name) {
      for (const auto& sibling : parent.children(links[i].event)) {
        if (sibling.get() != links[i].node && sibling->name() == links[i].node->name()) told_by_name = false;
      }
    }
    if (!text.empty()) text += '/';
    if (!told_by_name) {
      text += fmt::format("{}[{}]/", parent.type().events[static_cast<std::size_t>(links[i].event.index)],
                          links[i].index);
    }
    text += links[i].node->name();
  }
  return text;
}

inline std::string Walk::path(std::size_t visit) const {
  std::vector<Link> links;
  for (; visit != none; visit = visits_[visit].parent) links.push_back(visits_[visit].link);
  return path_text(std::vector<Link>(links.rbegin(), links.rend()));
}

inline Node* Walk::shown_by(const Visit& visit) const {
  return visit.link.node->type().transparent ? visit.caller : const_cast<Node*>(visit.link.node);
}

inline bool Walk::visit(Node& node, Node* caller, Link link, std::size_t parent, const Run* run) {
  Known& known = known_[&node];
  const bool is_first = known.callers.empty();
  visits_.push_back({link, caller, parent});
  const Place place(*this, visits_.size() - 1);
  if (known.on_path) {
    place.fault("a node must not hang below itself, got a cycle; hang another node here");
    visits_.pop_back();
    return false;
  }

  if (node.has_focus_) {
    if (auto focus = node.focus()) {
      visits_.back().caller = focus.get();
      place.hold(std::move(focus));
    } else if (is_first) {
      place.fault(
          "focus must be a node that is alive, but it is gone; keep a handle of it while the tree is used");
    }
  }
  caller = visits_.back().caller;
  for (const Node* known_caller : known.callers) {
    if (known_caller == caller) {
      visits_.pop_back();
      return false;
    }
  }
  known.callers.push_back(caller);

  if (is_first) {
    known.first = visits_.size() - 1;
    nodes_.push_back(&node);
    if (node.run_ && node.run_ != run)
      place.fault("a node is in one run at a time, got one of a run that is not over; dig it after that");
    if (node.is_named()) {
      const auto [found, is_new] = names_.try_emplace(std::string(node.name()), &node);
      if (!is_new)
        place.fault(fmt::format(
            "a given name is unique in a tree, got \"{}\" twice; name one of them otherwise", node.name()));
    }
  }
  for (const Field& row : node.shown()) {
    if (!row.input) continue;
    row.inputs(node, [&](InputBase& input) {
      if (is_first) input.unbind();
      input.bind(const_cast<Place&>(place), row.name);
    });
  }
  return true;
}

inline Walk::Walk(Node& root, const Run* run) {
  std::vector<Cursor> cursors;
  const auto enter = [&](Node& node, Node* caller, Link link, std::size_t parent) {
    if (!visit(node, caller, link, parent, run)) return;
    known_[&node].on_path = true;
    cursors.push_back({visits_.size() - 1, Step{0}, 0});
    depth_ = std::max(depth_, cursors.size());
  };
  enter(root, nullptr, {&root, entry, 0}, none);
  while (!cursors.empty()) {
    Cursor& cursor = cursors.back();
    const Visit visit = visits_[cursor.visit];
    const Node& node = *visit.link.node;
    if (static_cast<std::size_t>(cursor.event.index) == node.children_.size()) {
      known_[&node].on_path = false;
      cursors.pop_back();
    } else if (const auto hung = node.children(cursor.event); cursor.index == hung.size()) {
      cursor = {cursor.visit, Step{cursor.event.index + 1}, 0};
    } else {
      const Link link{hung[cursor.index].get(), cursor.event, cursor.index};
      ++cursor.index;
      enter(*hung[link.index], shown_by(visit), link, cursor.visit);
    }
  }

  for (std::size_t at = 0; at < visits_.size(); ++at) {  // last, since a check may ask what else hangs here
    Place place(*this, at);
    place.node().check(place);
  }
  std::vector<std::size_t> order(faults_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return faulty_[a] < faulty_[b]; });
  std::vector<Fault> sorted;
  for (const std::size_t i : order) sorted.push_back(std::move(faults_[i]));
  faults_ = std::move(sorted);
}

}  // namespace abyme

#include <abyme/core/bind.hpp>

#pragma once

#include <abyme/core/kept.hpp>
#include <abyme/core/walk.hpp>

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace abyme {

/// A thing that a snapshot holds: what it takes of it, and how it gives that back.
struct Part {
  std::function<void(Kept&)> save;
  std::function<void(const Kept&)> load;
  /// Says what of `kept` the thing can't take, a sentence each, before anything is loaded. Optional.
  std::function<std::vector<std::string>(const Kept&)> check = {};
};

/// A base of nodes that do something where a run goes on from a snapshot, when their fields are back.
class GoesOn {
public:
  virtual ~GoesOn() = default;
  virtual void goes_on() = 0;
};

/// What a snapshot of a tree holds beside the state fields of its nodes, as the nodes tell it.
class Holdings {
public:
  struct Holding {
    std::string name;   ///< `model`, or `train_pass.model` where there are several
    const Node* node;   ///< that told of it first
    const void* thing;  ///< null: it is the node's own
    std::string_view kind;
    Part part;
  };

  explicit Holdings(const Walk& walk) {
    for (Node* node : walk.nodes()) {
      node_ = node;
      path_ = walk.path_of(*node);
      node->hold(*this);
    }
    name_all();
  }

  /// Something that a run trains or depends on, which several nodes may share; of one thing the first counts.
  /// \param thing its address; \param kind "model", "optimizer", ...
  void add(std::string_view kind, const void* thing, Part part) {
    for (const Holding& known : all_) {
      if (known.thing == thing && known.kind == kind) return;
    }
    all_.push_back({std::string(kind), node_, thing, kind, std::move(part)});
  }
  /// What this node alone knows, such as its place in the data, or with others that are told apart by
  /// `shared`.
  void add_own(std::string_view kind, Part part, const void* shared = nullptr) {
    if (shared) {
      for (const void* known : shared_) {
        if (known == shared) return;
      }
      shared_.push_back(shared);
    }
    all_.push_back({fmt::format("{}.{}", path_, kind), node_, nullptr, kind, std::move(part)});
  }
  /// Something under a name that the user has given.
  void add_named(std::string name, Part part) {
    all_.push_back({std::move(name), node_, node_, "named", std::move(part)});
  }

  const std::vector<Holding>& all() const { return all_; }
  /// Rules that the names break, a sentence each.
  const std::vector<std::string>& faults() const { return faults_; }

private:
  // Things of a kind are named after it where there is one, else after their nodes.
  void name_all() {
    for (Holding& each : all_) {
      if (!each.thing || each.kind == "named") continue;
      std::size_t same = 0;
      for (const Holding& other : all_) same += other.thing && other.kind == each.kind;
      if (same == 1) continue;
      if (!each.node->is_named())
        faults_.push_back(
            fmt::format("a snapshot of several things of the kind {} names them after their nodes, "
                        "got a {} without a name; call .named(\"...\") on it",
                        each.kind, each.node->type().name));
      each.name = fmt::format("{}.{}", each.node->name(), each.kind);
    }
    for (std::size_t i = 0; i < all_.size(); ++i) {
      bool is_taken = all_[i].name == "generator";  // those of LibTorch, which every snapshot holds
      for (std::size_t j = 0; j < i; ++j) is_taken = is_taken || all_[i].name == all_[j].name;
      if (is_taken)
        faults_.push_back(
            fmt::format("what a snapshot holds has names of its own, got \"{}\" twice; name one "
                        "of them otherwise",
                        all_[i].name));
    }
  }

  std::vector<Holding> all_;
  std::vector<std::string> faults_;
  std::vector<const void*> shared_;
  Node* node_ = nullptr;
  std::string path_;
};

}  // namespace abyme

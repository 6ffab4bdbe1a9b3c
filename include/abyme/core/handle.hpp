#pragma once

#include <abyme/core/call.hpp>

#include <concepts>
#include <initializer_list>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace abyme {

struct DigOptions;
struct ResumeOptions;
struct Outcome;
class GroundNode;

/// Anything that owns a node.
template <class T>
concept NodeHandle = requires(const T& handle) {
  { handle.shared() } -> std::convertible_to<std::shared_ptr<Node>>;
};

class Child;

/// Several children in one: what a function returns that builds a part of a tree.
template <class... Children>
struct Pack {
  std::tuple<Children...> children;
};
template <class... Children>
Pack<std::decay_t<Children>...> children(Children&&... pack) {
  return {{std::forward<Children>(pack)...}};
}

template <class NodeClass, class NodeOptions>
class HandleOf;

/// A node with shared ownership, like `torch::nn::ModuleHolder`: copies are the same node, `->` reaches its
/// members, and a tree can be returned from a function. Constness is the pointer's, not the node's.
template <class NodeClass>
using Handle = HandleOf<NodeClass, typename NodeClass::Options>;

/// The options stand in the type so that a compiler names them where an option is wrong.
template <class NodeClass, class NodeOptions>
class HandleOf {
public:
  using Node = NodeClass;
  using Options = NodeOptions;

  // Moving copies, so that no handle is ever without its node.
  HandleOf(const HandleOf&) = default;
  HandleOf& operator=(const HandleOf&) = default;

  // Options are overloads of their own, because `{.window = 100}` has no type to forward.
  HandleOf()
    requires std::default_initializable<NodeClass>
      : HandleOf(Made{}, std::make_shared<NodeClass>()) {}
  explicit HandleOf(Options options)
    requires std::constructible_from<NodeClass, Options>
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::move(options))) {}
  // So has a list of names, `{"average", "std"}`; an initializer_list goes before options made of a text.
  explicit HandleOf(std::initializer_list<std::string> names)
    requires std::constructible_from<NodeClass, std::vector<std::string>>
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::vector<std::string>(names))) {}
  HandleOf(std::initializer_list<std::string> names, Options options)
    requires std::constructible_from<NodeClass, std::vector<std::string>, Options>
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::vector<std::string>(names), std::move(options))) {}
  template <class A>
    requires std::constructible_from<NodeClass, A, std::vector<std::string>>
  HandleOf(A&& a, std::initializer_list<std::string> names)
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::forward<A>(a), std::vector<std::string>(names))) {}
  template <class A>
    requires std::constructible_from<NodeClass, A, std::vector<std::string>, Options>
  HandleOf(A&& a, std::initializer_list<std::string> names, Options options)
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::forward<A>(a), std::vector<std::string>(names),
                                                     std::move(options))) {}
  template <class A>
    requires std::constructible_from<NodeClass, A, Options>
  HandleOf(A&& a, Options options)
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::forward<A>(a), std::move(options))) {}
  template <class A, class B>
    requires std::constructible_from<NodeClass, A, B, Options>
  HandleOf(A&& a, B&& b, Options options)
      : HandleOf(Made{},
                 std::make_shared<NodeClass>(std::forward<A>(a), std::forward<B>(b), std::move(options))) {}
  template <class A, class B, class C>
    requires std::constructible_from<NodeClass, A, B, C, Options>
  HandleOf(A&& a, B&& b, C&& c, Options options)
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::forward<A>(a), std::forward<B>(b),
                                                     std::forward<C>(c), std::move(options))) {}
  template <class A, class B, class C, class D>
    requires std::constructible_from<NodeClass, A, B, C, D, Options>
  HandleOf(A&& a, B&& b, C&& c, D&& d, Options options)
      : HandleOf(Made{},
                 std::make_shared<NodeClass>(std::forward<A>(a), std::forward<B>(b), std::forward<C>(c),
                                             std::forward<D>(d), std::move(options))) {}
  template <class A, class... Rest>
    requires(std::constructible_from<NodeClass, A, Rest...> &&
             !std::derived_from<std::decay_t<A>, HandleOf> && !std::same_as<std::decay_t<A>, Options>)
  explicit HandleOf(A&& a, Rest&&... rest)
      : HandleOf(Made{}, std::make_shared<NodeClass>(std::forward<A>(a), std::forward<Rest>(rest)...)) {}

  /// Hangs children on an event, behind those that hang there, and returns this handle. A child is a node, a
  /// callable (taking nothing, this node, the run, or both; below a transparent node, the node that it
  /// shows), a pack of `ab::children(...)`, or a `std::vector<ab::Child>`.
  template <class... Children>
  HandleOf at([[maybe_unused]] EventOf<NodeClass> event, Children&&... children) const {
    (hang(event.step, std::forward<Children>(children)), ...);
    return *this;
  }
  template <class... Children>
  HandleOf operator()(EventOf<NodeClass> event, Children&&... children) const {
    return at(event, std::forward<Children>(children)...);
  }

  /// A late-bound reader of a field. That the field exists is checked by the walk.
  Look get(std::string field) const { return Look(node_, std::move(field)); }

  /// Its caller from now on, whoever digs it. The node looks at `target` and does not own it.
  template <NodeHandle H>
  HandleOf focus(const H& target) const {
    base().focus_ = std::shared_ptr<abyme::Node>(target.shared());
    base().has_focus_ = true;
    return *this;
  }

  /// Its name in paths, messages and snapshots; unique in a tree.
  HandleOf named(std::string name) const {
    base().name_ = std::move(name);
    return *this;
  }

  /// Gives a node made without arguments what it needs, or gives it anew.
  template <class... Arguments>
    requires requires(NodeClass& node, Arguments&&... arguments) {
      node.setup(std::forward<Arguments>(arguments)...);
    }
  HandleOf setup(Arguments&&... arguments) const {
    node_->setup(std::forward<Arguments>(arguments)...);
    return *this;
  }

  /// Runs the tree below a ground; see `GroundNode`.
  template <class Dig = DigOptions>
    requires std::derived_from<NodeClass, GroundNode>
  auto dig(std::type_identity_t<Dig> options = {}) const {
    return dig_ground(node_, options);
  }

  /// Goes on from the newest good snapshot, or starts where there is none: `ground.resume(snapshots).dig()`.
  /// Needs `<abyme/save/snapshot.hpp>`, as the next two do.
  template <class Snapshots, class Resume = ResumeOptions>
    requires std::derived_from<NodeClass, GroundNode>
  auto resume(const Snapshots& snapshots, std::type_identity_t<Resume> options = {}) const {
    return resume_ground(node_, snapshots, options);
  }
  /// Tells of a model, an optimizer or anything else with `save` and `load` that no node knows of, so that
  /// snapshots hold it.
  template <class Thing>
    requires std::derived_from<NodeClass, GroundNode>
  HandleOf holds(std::string name, Thing&& thing) const {
    hold_in_ground(*node_, std::move(name), std::forward<Thing>(thing));
    return *this;
  }
  /// What a snapshot of the tree holds, and what it can't, as lines of text.
  template <class Ground = NodeClass>
    requires std::derived_from<Ground, GroundNode>
  auto holds() const {
    return holdings_text(static_cast<Ground&>(*node_));
  }
  /// These signals end a run of this ground in order: a snapshot is taken where there is a `Snapshot` in the
  /// tree, then the run unwinds to `final`. A second signal ends the program at once.
  template <class Ground = NodeClass>
    requires std::derived_from<Ground, GroundNode>
  HandleOf on_signals(std::vector<int> signals) const {
    static_cast<Ground&>(*node_).signals = std::move(signals);
    return *this;
  }

  NodeClass* operator->() const { return node_.get(); }
  NodeClass& operator*() const { return *node_; }
  const std::shared_ptr<NodeClass>& shared() const { return node_; }
  friend bool operator==(const HandleOf& a, const HandleOf& b) { return a.node_ == b.node_; }

private:
  struct Made {};
  HandleOf(Made, std::shared_ptr<NodeClass> node) : node_(std::move(node)) {
    base().set_type(node_type<NodeClass>);
  }

  abyme::Node& base() const { return *node_; }  // a class of nodes may hide the names that are wanted here

  template <class C>
  void hang(Step event, C&& child) const {
    using Plain = std::decay_t<C>;
    if constexpr (NodeHandle<Plain>) {
      base().hang(event, child.shared());
    } else if constexpr (requires { child.children; }) {
      std::apply([&](const auto&... each) { (hang(event, each), ...); }, child.children);
    } else if constexpr (std::same_as<Plain, std::vector<Child>>) {
      for (const auto& each : child) base().hang(event, each.shared());
    } else if constexpr (NodeClass::transparent) {
      static_assert(CallableWith<Plain, reflect::AskedCaller<Plain>>,
                    "a child is a node, a callable that takes nothing, its caller's node, the run, or both, "
                    "ab::children(...), or a std::vector<ab::Child>");
      base().hang(event, Handle<CallNode>(std::forward<C>(child)).shared());
    } else {
      static_assert(
          CallableWith<Plain, NodeClass>,
          "a child is a node, a callable that takes nothing, its caller's node (here the node on which it "
          "is hung), the run, or both, ab::children(...), or a std::vector<ab::Child>");
      base().hang(event, Handle<CallNode>(Callable<void>::make<NodeClass>(std::forward<C>(child))).shared());
    }
  }

  std::shared_ptr<NodeClass> node_;
};

using Call = Handle<CallNode>;

/// Something hung on an event, its type erased: for lists of children built in a loop
/// (`std::vector<ab::Child>`). What a callable asks of its caller is checked by the walk.
class Child {
public:
  template <NodeHandle H>
  Child(const H& handle) : node_(handle.shared()) {}
  template <class F>
    requires(!NodeHandle<F> && !std::same_as<F, Child> && CallableWith<F, reflect::AskedCaller<F>>)
  Child(F function) : node_(Call(std::move(function)).shared()) {}

  std::shared_ptr<Node> shared() const { return node_; }

private:
  std::shared_ptr<Node> node_;
};

}  // namespace abyme

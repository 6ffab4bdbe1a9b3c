#pragma once

#include <abyme/core/ground.hpp>

#include <utility>

namespace abyme {

/// Digs its children where a condition holds: a bool, a field, or a callable, read at each dig.
///
/// Events: `dig` where it holds, `otherwise` where it doesn't. Transparent: children see its caller. Fields:
/// `condition`.
class IfNode : public Node {
public:
  static constexpr auto events = abyme::events("dig", "otherwise");
  static constexpr bool transparent = true;

  Input<bool> condition;
  static constexpr auto fields = abyme::fields(field("condition", &IfNode::condition));

  explicit IfNode(Input<bool> condition) : condition(std::move(condition)) {}

  Step next(Step finished) override {
    if (finished != entry) return done;
    return read(condition) ? events["dig"] : events["otherwise"];
  }
};
using If = Handle<IfNode>;

}  // namespace abyme

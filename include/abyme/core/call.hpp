#pragma once

#include <abyme/core/walk.hpp>

#include <utility>

namespace abyme {

/// A node that calls a callable of the user's when it is dug. `at` makes one of each callable; made by hand
/// it can be named and focused: `ab::Call([](ab::Stats::Node& stats) { ... }).focus(stats)`.
class CallNode : public Node {
public:
  template <class F>
    requires CallableWith<F, reflect::AskedCaller<F>>
  explicit CallNode(F function)
      : CallNode(Callable<void>::make<reflect::AskedCaller<F>>(std::move(function))) {}
  explicit CallNode(Callable<void> call) : call_(std::move(call)) {}

  Step next(Step) override {
    call_(caller(), run());
    return done;
  }
  void check(Place& place) const override {
    if (place.caller() && !call_.accepts(*place.caller())) {
      place.fault(fmt::format(
          "a callable is given its caller, it takes {}, got {}; change its parameter, or hang it elsewhere",
          reflect::node_name(call_.wanted()->name), place.caller()->type().name));
    }
  }

private:
  Callable<void> call_;
};

}  // namespace abyme

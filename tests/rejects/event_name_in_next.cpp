// A wrong event name in a node's own next.
// expect: this_node_has_no_event_of_that_name
#include <abyme/core/ground.hpp>

namespace ab = abyme;

struct OnceNode : ab::Node {
  static constexpr auto events = ab::events("dig");
  ab::Step next(ab::Step finished) override {
#ifdef REJECT
    return finished == ab::entry ? events["dug"] : ab::done;
#else
    return finished == ab::entry ? events["dig"] : ab::done;
#endif
  }
};

int main() {
  ab::Handle<OnceNode>()("dig", [] {});
}

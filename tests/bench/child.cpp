// callgrind: kernel_instructions_per_child 100000 300000
//
// What the run itself spends on one child: an iteration has 100 children, each a node with two events of
// which one has a child, so that half of the children need a frame and half do not.

#include <abyme/abyme.hpp>

#include <cstdlib>

namespace ab = abyme;

struct BranchNode : ab::Node {
  static constexpr auto events = ab::events("first", "second");
  ab::Step next(ab::Step finished) override {
    if (finished == ab::entry) return events["first"];
    return finished == events["first"] ? events["second"] : ab::done;
  }
};

struct LeafNode : ab::Node {
  ab::Step next(ab::Step) override { return ab::done; }
};

int main(int, char** arguments) {
  ab::IterationLooper loop(std::atoll(arguments[1]) / 100);
  for (int i = 0; i < 50; ++i)
    loop("iteration_end", ab::Handle<BranchNode>()("second", ab::Handle<LeafNode>()));
  ab::Ground ground;
  ground("dig", loop);
  ground.dig();
}

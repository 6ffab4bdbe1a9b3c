// A task that takes another type of batch than the data has: the sentence tells what it may take.
// expect: a task is a node, or a function of the first 0 to 4 of \(State&, const Batch&
// expect-within: 8
#include <abyme/dialect/tasks.hpp>

#include <string>
#include <vector>

namespace ab = abyme;

struct State {
  double weight = 0;
};

void train(const std::vector<int>& data) {
#ifdef REJECT
  const auto step = [](State&, const std::string&) {};
#else
  const auto step = [](State&, int) {};
#endif
  ab::tasks::loop(State{}, data, {{ab::every(1), step}});
}

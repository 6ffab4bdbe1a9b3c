// A task that returns an int: the sentence tells what it may return.
// expect: a task returns nothing, ab::Logs, the state, or a pair of both
// expect-within: 8
#include <abyme/dialect/tasks.hpp>

#include <vector>

namespace ab = abyme;

struct State {
  double weight = 0;
};

void train(const std::vector<int>& data) {
#ifdef REJECT
  const auto step = [](State&, int batch) { return batch; };
#else
  const auto step = [](State&, int batch) { return ab::Logs().add_metric("batch", batch); };
#endif
  ab::tasks::loop(State{}, data, {{ab::every(1), step}});
}

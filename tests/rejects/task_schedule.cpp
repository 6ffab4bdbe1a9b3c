// A number in the place of the schedule of a task: it could mean every so many steps, or from that step on.
// expect: a schedule is no number: write ab::every\(n\), ab::after\(n\)
// expect-within: 10
#include <abyme/dialect/tasks.hpp>

#include <vector>

namespace ab = abyme;

struct State {
  double weight = 0;
};

void train(const std::vector<int>& data) {
  const auto step = [](State&, int) {};
#ifdef REJECT
  ab::tasks::loop(State{}, data, {{100, step}});
#else
  ab::tasks::loop(State{}, data, {{ab::every(100), step}});
#endif
}

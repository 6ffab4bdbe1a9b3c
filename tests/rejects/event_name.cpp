// A wrong event name: the error names the function whose name reads as the sentence.
// expect: this_node_has_no_event_of_that_name
#include <abyme/loop/iteration_looper.hpp>

namespace ab = abyme;

int main() {
  ab::IterationLooper loop(3);
#ifdef REJECT
  loop("iteration_ended", [] {});
#else
  loop("iteration_end", [] {});
#endif
}

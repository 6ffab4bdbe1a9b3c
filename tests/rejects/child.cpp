// expect: a child is a node, a callable that takes nothing, its caller's node
#include <abyme/loop/iteration_looper.hpp>

void hang(const abyme::IterationLooper& epochs) {
#ifdef REJECT
  epochs("end", 3);
#else
  epochs("end", [] { return 3; });
#endif
}

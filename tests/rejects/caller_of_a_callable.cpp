// A callable that takes another node than the one on which it is hung, which shows itself.
// expect: a callable that takes nothing, its caller's node \(here the node on which it is hung\), the run, or
// both
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>

namespace ab = abyme;

int main() {
  ab::IterationLooper loop(3);
#ifdef REJECT
  loop("end", [](ab::DataLooper::Node&) {});
#else
  loop("end", [](ab::IterationLooper::Node&) {});
#endif
}

// Of a period of several units only "reached" and "not yet" are sound.
// expect: with a period only >= and < are sound: name one unit
// expect-within: 8
#include <abyme/time/period.hpp>

namespace ab = abyme;

bool is_over(const ab::Elapsed& elapsed) {
#ifdef REJECT
  return elapsed > (ab::steps(10) || ab::samples(100));
#else
  return elapsed >= (ab::steps(10) || ab::samples(100));
#endif
}

// expect: BreakOptions
// expect: raeson
// expect-within: 5
#include <abyme/core/ground.hpp>

abyme::Break make() {
#ifdef REJECT
  return abyme::Break({.raeson = "x"});
#else
  return abyme::Break({.reason = "x"});
#endif
}

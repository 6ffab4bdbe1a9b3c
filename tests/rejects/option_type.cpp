// expect: PeriodicTriggerOptions
// expect-within: 8
#include <abyme/trigger/periodic_trigger.hpp>

abyme::PeriodicTrigger make() {
#ifdef REJECT
  return abyme::PeriodicTrigger(100, {.wait_periods = 1.5});
#else
  return abyme::PeriodicTrigger(100, {.wait_periods = 1});
#endif
}

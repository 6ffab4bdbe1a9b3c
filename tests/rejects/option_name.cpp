// An option that does not exist: the struct that lacks it stands in the first lines.
// expect: PeriodicTriggerOptions
// expect-within: 5
#include <abyme/trigger/periodic_trigger.hpp>

#ifdef REJECT
abyme::PeriodicTrigger trigger(3, {.wait = 1});
#else
abyme::PeriodicTrigger trigger(3, {.wait_periods = 1});
#endif

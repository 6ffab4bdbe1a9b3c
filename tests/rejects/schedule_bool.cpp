// Nor is a bool one.
// expect: a schedule is no number: .*ab::always\(\)
// expect-within: 8
#include <abyme/time/schedule.hpp>

#ifdef REJECT
abyme::Schedule schedule = true;
#else
abyme::Schedule schedule = abyme::always();
#endif

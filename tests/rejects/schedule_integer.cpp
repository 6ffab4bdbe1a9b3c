// An integer is no schedule: it could mean every so many steps, or from that step on.
// expect: a schedule is no number: write ab::every\(n\), ab::after\(n\)
// expect-within: 8
#include <abyme/time/schedule.hpp>

#ifdef REJECT
abyme::Schedule schedule = 100;
#else
abyme::Schedule schedule = abyme::every(100);
#endif

// The second file of the program: what is not inline in abyme is found when both are linked.
#include <abyme/abyme.hpp>

abyme::IterationLooper counting_to(std::int64_t count);
abyme::IterationLooper counting_to(std::int64_t count) { return abyme::IterationLooper(count); }

// An error without a message helps nobody.
// expect-gcc: no matching function for call to 'abyme::Error::Error\(\)'
// expect-clang: no matching constructor for initialization of 'abyme::Error'
// expect-within: 5
#include <abyme/core/error.hpp>

#ifdef REJECT
abyme::Error error;
#else
abyme::Error error("who: rule, got value; remedy");
#endif

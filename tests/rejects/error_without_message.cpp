// An error without a message helps nobody.
// expect-gcc: use of deleted function 'abyme::Error::Error\(\)'
// expect-clang: implicitly-deleted default constructor of 'abyme::Error'
// expect-within: 5
#include <abyme/core/error.hpp>

#ifdef REJECT
abyme::Error error;
#else
abyme::Error error("who: rule, got value; remedy");
#endif

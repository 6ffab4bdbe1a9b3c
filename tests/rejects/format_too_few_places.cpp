// Fewer places in a format string than arguments.
// expect: the_format_string_has_fewer_places_than_arguments
#include <abyme/write/print.hpp>

#ifdef REJECT
abyme::Print print("{}", 1, 2);
#else
abyme::Print print("{} {}", 1, 2);
#endif

// More places in a format string than arguments.
// expect: the_format_string_has_more_places_than_arguments
#include <abyme/write/print.hpp>

#ifdef REJECT
abyme::Print print("{} and {}", 1);
#else
abyme::Print print("{} and {}", 1, 2);
#endif

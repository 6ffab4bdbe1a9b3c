// expect: the_format_string_nests_a_place_in_a_spec
#include <abyme/write/print.hpp>

#ifdef REJECT
abyme::Print print("{:{}}", 1, 2);
#else
abyme::Print print("{:2}", 1);
#endif

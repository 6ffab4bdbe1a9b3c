// A brace that is never closed.
// expect: the_format_string_has_a_brace_without_its_partner
#include <abyme/write/print.hpp>

#ifdef REJECT
abyme::Print print("{} {", 1);
#else
abyme::Print print("{} {{", 1);
#endif

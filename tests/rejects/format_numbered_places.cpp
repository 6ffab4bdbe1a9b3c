// Numbered places beside plain ones.
// expect: the_format_string_mixes_numbered_and_plain_places
#include <abyme/write/print.hpp>

#ifdef REJECT
abyme::Print print("{} {0}", 1);
#else
abyme::Print print("{0} {0}", 1);
#endif

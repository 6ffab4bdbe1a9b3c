// A stream is borrowed.
// expect: Print
#include <abyme/write/print.hpp>

#include <sstream>

void make(std::ostringstream& out) {
#ifdef REJECT
  abyme::Print(std::ostringstream(), "a line");
#else
  abyme::Print(out, "a line");
#endif
}

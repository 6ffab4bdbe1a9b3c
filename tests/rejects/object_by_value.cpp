// An input from a callable that returns an object by value: nobody would own it when it is read.
// expect: must outlive the call: return a reference to it
#include <abyme/core/ground.hpp>

#include <vector>

namespace {
std::vector<int> list{1, 2, 3};
}

#ifdef REJECT
abyme::Input<abyme::Opaque> input([] { return list; });
#else
abyme::Input<abyme::Opaque> input([]() -> const std::vector<int>& { return list; });
#endif

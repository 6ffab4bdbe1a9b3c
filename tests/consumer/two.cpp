// The second file of the program: what is not inline in abyme is found when both are linked.
#include <abyme/abyme.hpp>

#include <string>

std::string two();
std::string two() { return "abyme works:"; }

#include <torch/torch.h>

#include <abyme/abyme.hpp>

const char* two();
const char* two() { return "two"; }

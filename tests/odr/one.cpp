#include <torch/torch.h>

#include <abyme/abyme.hpp>

const char* two();

int main() { return abyme::Error("one").what() == two(); }

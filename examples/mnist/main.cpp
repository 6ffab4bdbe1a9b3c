#include <CLI/CLI.hpp>
#include <abyme/abyme.hpp>
#include <torch/torch.h>

#include <iostream>

// A placeholder, until the example is written.
int main() { std::cout << torch::ones({2, 2}) << '\n'; }

#include <abyme/abyme.hpp>

#include <ATen/ATen.h>

#include <iostream>

std::string two();

int main() {
  try {
    throw abyme::Error(two());
  } catch (const abyme::Error& error) {
    std::cout << error.what() << ' ' << at::ones({2, 2}).sum().item<double>() << '\n';
  }
}

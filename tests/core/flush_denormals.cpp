#include <abyme/core/flush_denormals.hpp>

#include <abyme/core/ground.hpp>

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <catch2/catch.hpp>

#include <stdexcept>

namespace ab = abyme;

namespace flush_denormals_tests {
namespace {

// How many of as many products of a denormal number and 1 are 0; LibTorch shares them out among its threads.
constexpr std::int64_t products = 1 << 20;
std::int64_t zeros() {
  const auto denormal = at::full({products}, 1e-39, at::kFloat);
  const auto product = denormal.view(at::kInt).clone().view(at::kFloat) * 1;
  return products - product.view(at::kInt).count_nonzero().item<std::int64_t>();
}

}  // namespace

TEST_CASE("while a tree runs denormal numbers are 0 on all threads, and afterwards what they were") {
  const int threads = at::get_num_threads();
  for (const int count : {1, 3}) {
    at::set_num_threads(count);
    CHECK(zeros() == 0);
    std::int64_t inside = 0, nested = 0, after_nested = 0;
    ab::Ground ground;
    ground("dig", [&] {
      inside = zeros();
      ab::Ground()("dig", [&] { nested = zeros(); }).dig();
      after_nested = zeros();
    });
    ground.dig();
    CHECK(inside == products);
    CHECK(nested == products);
    CHECK(after_nested == products);
    CHECK(zeros() == 0);
  }
  at::set_num_threads(threads);
}

TEST_CASE("they are left alone where an option says so, and put back after an exception") {
  std::int64_t inside = -1;
  ab::Ground ground;
  ground("dig", [&] { inside = zeros(); });
  ground.dig({.flush_denormals = false});
  CHECK(inside == 0);
  ab::Ground broken;
  broken("dig", [] { throw std::runtime_error("broken"); });
  CHECK_THROWS(broken.dig());
  CHECK(zeros() == 0);
}

}  // namespace flush_denormals_tests

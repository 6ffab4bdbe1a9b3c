#include <abyme/core/own.hpp>

#include <catch2/catch.hpp>

#include <vector>

namespace ab = abyme;

namespace own_tests {

TEST_CASE("an lvalue is borrowed, an rvalue owned, a shared_ptr shared, a unique_ptr taken") {
  std::vector<int> local{1, 2};
  const auto borrowed = ab::own_or_borrow(local);
  CHECK(borrowed.get() == &local);
  CHECK(borrowed.use_count() == 0);

  const std::vector<int> constant{1};
  const std::shared_ptr<const std::vector<int>> borrowed_constant = ab::own_or_borrow(constant);
  CHECK(borrowed_constant.get() == &constant);

  const int* first = local.data();
  const auto owned = ab::own_or_borrow(std::move(local));
  CHECK(owned->data() == first);
  CHECK(owned.use_count() == 1);

  const auto shared = std::make_shared<std::vector<int>>();
  CHECK(ab::own_or_borrow(shared) == shared);
  CHECK(shared.use_count() == 1);

  auto unique = std::make_unique<std::vector<int>>();
  const auto* address = unique.get();
  CHECK(ab::own_or_borrow(std::move(unique)).get() == address);
  CHECK(unique == nullptr);

  CHECK_THROWS_WITH(ab::own_or_borrow(std::shared_ptr<int>()),
                    "a pointer handed to a node must point to an object, got null; make one first");
}

}  // namespace own_tests

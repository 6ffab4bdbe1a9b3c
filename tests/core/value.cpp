#include <abyme/core/value.hpp>

#include <ATen/ops/arange.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <catch2/catch.hpp>

#include <array>
#include <limits>
#include <vector>

namespace ab = abyme;
using namespace std::chrono_literals;

namespace value_tests {
namespace {

ab::Value tensor(double number, at::ScalarType type) {
  return at::scalar_tensor(number, at::TensorOptions(type));
}

struct Batch {
  int rows = 0;
};

}  // namespace

const ab::TypeId& batch_of_input_test();  // of a Batch in the unnamed namespace of input.cpp

TEST_CASE("types of one name in the unnamed namespaces of two files are two types") {
  CHECK(ab::type_id<Batch>.name == batch_of_input_test().name);
  CHECK_FALSE(ab::type_id<Batch> == batch_of_input_test());
  CHECK(ab::type_id<Batch> == ab::type_id<Batch>);
}

TEST_CASE("local types of one name are two types") {
  const auto first = [] {
    struct Local {};
    return &ab::type_id<Local>;
  }();
  const auto second = [] {
    struct Local {};
    return &ab::type_id<Local>;
  }();
  CHECK(*first == *first);
  CHECK_FALSE(*first == *second);
}

TEST_CASE("what a type becomes") {
  STATIC_REQUIRE(ab::kind_of<bool>() == ab::Kind::boolean);
  STATIC_REQUIRE(ab::kind_of<int>() == ab::Kind::integer);
  STATIC_REQUIRE(ab::kind_of<std::size_t>() == ab::Kind::integer);
  STATIC_REQUIRE(ab::kind_of<float>() == ab::Kind::number);
  STATIC_REQUIRE(ab::kind_of<const char*>() == ab::Kind::text);
  STATIC_REQUIRE(ab::kind_of<std::string_view>() == ab::Kind::text);
  STATIC_REQUIRE(ab::kind_of<std::filesystem::path>() == ab::Kind::text);
  STATIC_REQUIRE(ab::kind_of<at::Tensor>() == ab::Kind::tensor);
  STATIC_REQUIRE(ab::kind_of<std::chrono::minutes>() == ab::Kind::duration);
  STATIC_REQUIRE(ab::kind_of<std::optional<double>>() == ab::Kind::number);
  STATIC_REQUIRE(ab::kind_of<std::vector<double>>() == ab::Kind::object);
  STATIC_REQUIRE(ab::kind_of<ab::Value>() == ab::Kind::any);
}

TEST_CASE("every kind of value as text") {
  const Batch batch;
  const std::vector<std::pair<ab::Value, std::string>> cases{
      {{}, "none"},
      {true, "true"},
      {std::int64_t{-3}, "-3"},
      {0.1, "0.1"},
      {std::numeric_limits<double>::quiet_NaN(), "nan"},
      {std::string("text"), "text"},
      {ab::Duration(1.5), "1.5 s"},
      {at::Tensor(), "none"},
      {tensor(0.1, at::kFloat), "0.1"},
      {tensor(0.1, at::kDouble), "0.1"},
      {tensor(7, at::kLong), "7"},
      {tensor(7, at::kByte), "7"},
      {tensor(1, at::kBool), "true"},
      {tensor(0.5, at::kHalf), "0.5"},
      {tensor(0.5, at::kBFloat16), "0.5"},
      {at::zeros({64, 10}), "Tensor[64, 10]"},
      {at::zeros({0}), "Tensor[0]"},
      {at::zeros({1, 1}), "0"},
      {ab::to_value(batch), "<" + std::string(ab::type_name<Batch>) + ">"},
  };
  for (const auto& [value, text] : cases) CHECK(ab::to_text(value) == text);
}

TEST_CASE("a spec formats each kind as fmt does; nothing is none whatever the spec") {
  const auto formatted = [](std::string_view spec, const ab::Value& value) {
    std::string text = "> ";
    ab::format_to(text, spec, value);
    return text;
  };
  CHECK(formatted(".3f", 2.0 / 3) == "> 0.667");
  CHECK(formatted(".3f", tensor(0.5, at::kFloat)) == "> 0.500");
  CHECK(formatted(">6", std::int64_t{42}) == ">     42");
  CHECK(formatted("05d", tensor(42, at::kLong)) == "> 00042");
  CHECK(formatted("*^8", std::string("mid")) == "> **mid***");
  CHECK(formatted("d", true) == "> 1");
  CHECK(formatted(".1f", ab::Duration(2.25)) == "> 2.2");
  CHECK(formatted(".3f", {}) == "> none");
  CHECK(formatted(".3f", at::Tensor()) == "> none");
  CHECK(formatted(".3f", at::zeros({2})) == "> Tensor[2]");
  CHECK_THROWS_AS(formatted(".3f", std::int64_t{1}), fmt::format_error);
  CHECK_THROWS_AS(formatted("d", std::string("text")), fmt::format_error);
}

TEST_CASE("the number in a value") {
  CHECK(ab::number(ab::Value{true}) == 1.0);
  CHECK(ab::number(ab::Value{std::int64_t{3}}) == 3.0);
  CHECK(ab::number(ab::Value{ab::Duration(500ms)}) == 0.5);
  CHECK(ab::number(tensor(2.5, at::kFloat)) == 2.5);
  CHECK(ab::number(tensor(2.5, at::kDouble)) == 2.5);
  CHECK(ab::number(tensor(3, at::kInt)) == 3.0);
  CHECK(ab::number(ab::Value{at::arange(6).slice(0, 4, 5)}) == 4.0);  // with an offset in its storage
  CHECK(ab::number(ab::Value{at::arange(6, at::kFloat).slice(0, 4, 5)}) == 4.0);
  CHECK_FALSE(ab::number(ab::Value{}));
  CHECK_FALSE(ab::number(ab::Value{std::string("3")}));
  CHECK_FALSE(ab::number(ab::Value{at::zeros({2})}));
  CHECK_FALSE(ab::number(ab::Value{at::Tensor()}));
}

TEST_CASE("objects become values") {
  const auto same = [](const ab::Value& a, const ab::Value& b) {
    return a.index() == b.index() && ab::to_text(a) == ab::to_text(b);
  };
  CHECK(same(ab::to_value(std::optional<int>()), {}));
  CHECK(same(ab::to_value(std::optional<int>(2)), std::int64_t{2}));
  CHECK(same(ab::to_value("text"), std::string("text")));
  CHECK(same(ab::to_value(std::filesystem::path("a") / "b"), std::string("a/b")));
  CHECK(same(ab::to_value(2min), ab::Duration(120)));
  CHECK(same(ab::to_value(at::Tensor()), {}));
  CHECK(same(ab::to_value(2.5F), 2.5));
  const Batch batch;
  const auto opaque = std::get<ab::Opaque>(ab::to_value(batch));
  CHECK(opaque.address == &batch);
  CHECK(*opaque.type == ab::type_id<Batch>);
}

TEST_CASE("values become what is asked for, or nothing") {
  CHECK(ab::convert<std::int64_t>(ab::Value{2.0}) == 2);
  CHECK(ab::convert<std::int64_t>(tensor(5, at::kLong)) == 5);
  CHECK(ab::convert<double>(ab::Value{std::int64_t{2}}) == 2.0);
  CHECK(ab::convert<bool>(ab::Value{std::int64_t{2}}) == true);
  CHECK(ab::convert<bool>(tensor(0, at::kFloat)) == false);
  CHECK(ab::convert<std::string>(ab::Value{0.25}) == "0.25");
  CHECK(ab::convert<std::string>(ab::Value{true}) == "true");
  CHECK(ab::convert<ab::Duration>(ab::Value{ab::Duration(2)}) == ab::Duration(2));
  CHECK_FALSE(ab::convert<ab::Duration>(ab::Value{2.0}));
  CHECK_FALSE(ab::convert<std::string>(ab::Value{}));
  CHECK_FALSE(ab::convert<double>(ab::Value{}));
  CHECK_FALSE(ab::convert<double>(ab::Value{std::string("2")}));
  CHECK_FALSE(ab::convert<at::Tensor>(ab::Value{2.0}));
  CHECK_FALSE(ab::convert<ab::Number>(ab::Value{std::string("2")}));
  CHECK(ab::convert<ab::Value>(ab::Value{}).has_value());
  CHECK_FALSE(ab::convert<std::int64_t>(tensor(std::numeric_limits<double>::quiet_NaN(), at::kFloat)));
  CHECK_FALSE(ab::convert<std::int64_t>(ab::Value{1e300}));
  // Whole numbers beyond 2^53 stay whole.
  const std::int64_t large = (std::int64_t{1} << 60) + 1;
  CHECK(ab::convert<std::int64_t>(ab::Value{large}) == large);
}

TEST_CASE("an object that is not there yet is nothing to who asks for it") {
  CHECK_FALSE(ab::convert<ab::Opaque>(ab::Value{ab::Opaque{&ab::type_id<Batch>, nullptr}}));
  const Batch batch;
  CHECK(ab::convert<ab::Opaque>(ab::to_value(batch))->address == &batch);
}

}  // namespace value_tests

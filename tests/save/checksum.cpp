#include <abyme/save/checksum.hpp>

#include <catch2/catch.hpp>

#include <string>
#include <string_view>

namespace ab = abyme;

namespace checksum_tests {
namespace {

std::uint64_t sum_of(std::string_view text, std::uint64_t seed = 0) {
  ab::Checksum sum(seed);
  sum.update(text.data(), text.size());
  return sum.value();
}

// The bytes that xxHash's own sanity test draws.
std::string drawn(std::size_t count) {
  std::string bytes;
  std::uint64_t state = 2654435761U;
  for (std::size_t i = 0; i < count; ++i) {
    bytes += static_cast<char>(state >> 56);
    state *= 11400714785074694797ULL;
  }
  return bytes;
}

}  // namespace

TEST_CASE("the checksum gives the values that xxHash publishes for XXH64", "[checksum]") {
  // https://github.com/Cyan4973/xxHash/blob/v0.8.1/cli/xsum_sanity_check.c
  constexpr std::uint64_t seed = 2654435761U;
  CHECK(sum_of(drawn(0)) == 0xEF46DB3751D8E999);
  CHECK(sum_of(drawn(0), seed) == 0xAC75FDA2929B17EF);
  CHECK(sum_of(drawn(1)) == 0xE934A84ADB052768);
  CHECK(sum_of(drawn(1), seed) == 0x5014607643A9B4C3);
  CHECK(sum_of(drawn(4)) == 0x9136A0DCA57457EE);
  CHECK(sum_of(drawn(14)) == 0x8282DCC4994E35C8);
  CHECK(sum_of(drawn(14), seed) == 0xC3BD6BF63DEB6DF0);
  CHECK(sum_of(drawn(222)) == 0xB641AE8CB691C174);
  CHECK(sum_of(drawn(222), seed) == 0x20CB8AB7AE10C14A);
  CHECK(sum_of("abc") == 0x44BC2CF5AD770999);
}

TEST_CASE("in whatever pieces the bytes come, the checksum is the same", "[checksum]") {
  const std::string bytes = drawn(300);
  for (std::size_t length = 0; length <= bytes.size(); length += 7) {
    const std::string_view part(bytes.data(), length);
    for (std::size_t piece = 1; piece < 100; ++piece) {
      ab::Checksum sum;
      for (std::size_t at = 0; at < length; at += piece)
        sum.update(part.data() + at, std::min(piece, length - at));
      REQUIRE(sum.value() == sum_of(part));
      REQUIRE(sum.value() == sum_of(part));  // asking changes nothing
    }
  }
}

}  // namespace checksum_tests

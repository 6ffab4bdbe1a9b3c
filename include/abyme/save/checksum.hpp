#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace abyme {

/// XXH64, the 64-bit xxHash, of bytes that come in pieces of any length: fast without special instructions.
/// https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
class Checksum {
public:
  explicit Checksum(std::uint64_t seed = 0)
      : seed_(seed), lanes_{seed + prime1 + prime2, seed + prime2, seed, seed - prime1} {}

  void update(const void* bytes, std::size_t count) {
    const auto* next = static_cast<const unsigned char*>(bytes);
    total_ += count;
    if (held_ > 0) {
      const std::size_t taken = std::min(count, buffer_.size() - held_);
      std::copy_n(next, taken, buffer_.data() + held_);
      held_ += taken;
      next += taken;
      count -= taken;
      if (held_ < buffer_.size()) return;
      stripes(buffer_.data(), 1);
    }
    stripes(next, count / buffer_.size());
    held_ = count % buffer_.size();
    std::copy_n(next + (count - held_), held_, buffer_.data());
  }

  /// That of all bytes so far; more may follow.
  std::uint64_t value() const {
    std::uint64_t sum = seed_ + prime5;
    if (total_ >= buffer_.size()) {
      sum = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
            std::rotl(lanes_[3], 18);
      for (const std::uint64_t lane : lanes_) sum = (sum ^ round(0, lane)) * prime1 + prime4;
    }
    sum += total_;
    const unsigned char* next = buffer_.data();
    const unsigned char* const end = next + held_;
    for (; end - next >= 8; next += 8)
      sum = std::rotl(sum ^ round(0, load<std::uint64_t>(next)), 27) * prime1 + prime4;
    if (end - next >= 4) {
      sum = std::rotl(sum ^ load<std::uint32_t>(next) * prime1, 23) * prime2 + prime3;
      next += 4;
    }
    for (; next != end; ++next) sum = std::rotl(sum ^ *next * prime5, 11) * prime1;
    sum = (sum ^ sum >> 33) * prime2;
    sum = (sum ^ sum >> 29) * prime3;
    return sum ^ sum >> 32;
  }

private:
  static constexpr std::uint64_t prime1 = 0x9E3779B185EBCA87, prime2 = 0xC2B2AE3D27D4EB4F,
                                 prime3 = 0x165667B19E3779F9, prime4 = 0x85EBCA77C2B2AE63,
                                 prime5 = 0x27D4EB2F165667C5;
  static_assert(std::endian::native == std::endian::little, "the words of the hash are little-endian");

  template <class Word>
  static std::uint64_t load(const unsigned char* bytes) {
    Word word;
    std::memcpy(&word, bytes, sizeof(word));
    return word;
  }
  static std::uint64_t round(std::uint64_t lane, std::uint64_t word) {
    return std::rotl(lane + word * prime2, 31) * prime1;
  }
  void stripes(const unsigned char* next, std::size_t count) {
    auto lanes = lanes_;  // in registers
    for (; count > 0; --count) {
      for (std::uint64_t& lane : lanes) {
        lane = round(lane, load<std::uint64_t>(next));
        next += 8;
      }
    }
    lanes_ = lanes;
  }

  std::uint64_t seed_, total_ = 0;
  std::array<std::uint64_t, 4> lanes_;
  std::array<unsigned char, 32> buffer_{};
  std::size_t held_ = 0;
};

}  // namespace abyme

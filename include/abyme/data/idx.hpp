#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <fmt/ranges.h>

#include <abyme/core/error.hpp>
#include <abyme/data/byte_file.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace abyme {

/// Reads a file in the IDX format, that of MNIST and its kin: a dtype, any number of dimensions, then the
/// numbers, big-endian. Gives a CPU tensor of the file's shape and dtype: uint8, int8, int16, int32, float32
/// or float64.
///
/// The file may be packed by gzip, whatever its name is, where abyme is built with zlib; and where there is
/// no `path`, `path`.gz is read. \throws Error, which names the file: not there, not IDX, truncated, more
/// bytes than its dimensions ask for, dimensions that overflow. A header's promise is held against the size
/// of the file before anything is allocated.
inline at::Tensor read_idx(std::filesystem::path path) {
  if (auto packed = path; !std::filesystem::exists(path) && std::filesystem::exists(packed += ".gz"))
    path = packed;
  ByteFile file("read_idx", path);

  std::array<unsigned char, 4> word{};  // the magic number: 0, 0, the dtype, the number of dimensions
  const auto next_word = [&] {
    if (file.read(word) < word.size())
      file.fail("must have a whole header", "a truncated file", "fetch it again");
  };
  next_word();
  at::ScalarType dtype = at::kByte;
  switch (word[0] == 0 && word[1] == 0 ? word[2] : 0) {
  case 0x08: dtype = at::kByte; break;
  case 0x09: dtype = at::kChar; break;
  case 0x0B: dtype = at::kShort; break;
  case 0x0C: dtype = at::kInt; break;
  case 0x0D: dtype = at::kFloat; break;
  case 0x0E: dtype = at::kDouble; break;
  default:
    file.fail("must begin with IDX's magic number 0000, dtype 08 to 0e, number of dimensions",
              fmt::format("{:02x}", fmt::join(word, "")), "check that it is the right file");
  }

  const std::size_t item_size = at::elementSize(dtype);
  std::uint64_t bytes = item_size;
  std::vector<std::int64_t> sizes(word[3]);
  for (std::int64_t& size : sizes) {
    next_word();
    for (const unsigned char byte : word) size = size * 256 + byte;
  }
  for (const std::int64_t size : sizes) {
    constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
    const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1));
    if (bytes > most / factor)
      file.fail("must have dimensions whose product fits into 63 bits",
                fmt::format("{}", fmt::join(sizes, " x ")), "fetch it again");
    bytes *= factor;
  }
  if (std::ranges::count(sizes, 0) > 0) bytes = 0;

  const std::string promise =
      fmt::format("must hold the {} bytes of {} x {}", bytes, fmt::join(sizes, " x "), at::toString(dtype));
  if (bytes > file.capacity()) file.fail(promise, "a truncated file", "fetch it again");
  const at::Tensor tensor(at::detail::empty_cpu(sizes, dtype));
  const std::span<unsigned char> data(static_cast<unsigned char*>(tensor.data_ptr()), bytes);
  if (file.read(data) < bytes) file.fail(promise, "a truncated file", "fetch it again");
  if (file.read({word.data(), 1}) > 0) file.fail(promise, "trailing bytes", "fetch it again");

  if constexpr (std::endian::native == std::endian::little) {
    if (item_size > 1)
      for (auto item = data.begin(); item != data.end(); item += std::ptrdiff_t(item_size))
        std::reverse(item, item + std::ptrdiff_t(item_size));
  }
  return tensor;
}

/// Images [n, ...] of any dtype with their labels [n] int64.
struct LabelledImages {
  at::Tensor images;
  at::Tensor labels;
};

/// Reads a pair of IDX files that belong together, each as `read_idx` does, labels of any integer type.
/// \throws Error where a file is broken, the labels are not one integer an image, or the counts differ.
inline LabelledImages read_labelled_idx(const std::filesystem::path& images_path,
                                        const std::filesystem::path& labels_path) {
  at::Tensor images = read_idx(images_path), labels = read_idx(labels_path);
  if (images.dim() == 0)
    throw Error(
        fmt::format("read_labelled_idx: {} must hold images [n, ...], got a file without dimensions; check "
                    "that it is the right file",
                    images_path.string()));
  if (labels.dim() != 1 || labels.is_floating_point())
    throw Error(
        fmt::format("read_labelled_idx: {} must hold labels [n] of an integer type, got {} of {} dimensions; "
                    "check that images come first, labels second",
                    labels_path.string(), at::toString(labels.scalar_type()), labels.dim()));
  if (images.size(0) != labels.size(0))
    throw Error(
        fmt::format("read_labelled_idx: there must be one label for each image, got {} images in {} and {} "
                    "labels in {}; take both from one set",
                    images.size(0), images_path.string(), labels.size(0), labels_path.string()));
  return {images, labels.to(at::kLong)};
}

}  // namespace abyme

#pragma once

#include <fmt/format.h>

#include <abyme/data/idx.hpp>

#include "digits.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What the example learns from: images [n, 28, 28] uint8 and labels [n] int64.
struct Digits {
  at::Tensor train_images, train_labels, test_images, test_labels;
  std::string source;  ///< one sentence: which digits these are and where they come from

  Digits(const abyme::LabelledImages& train, const abyme::LabelledImages& test, std::string from)
      : train_images(train.images),
        train_labels(train.labels),
        test_images(test.images),
        test_labels(test.labels),
        source(std::move(from)) {}
};

/// Reads the four files of MNIST in a folder, each raw or packed. \throws abyme::Error
inline Digits read_digits(const std::filesystem::path& folder) {
  const auto read = [&](const std::string& part) {
    return abyme::read_labelled_idx(folder / (part + "-images-idx3-ubyte"),
                                    folder / (part + "-labels-idx1-ubyte"));
  };
  const auto train = read("train"), test = read("t10k");
  return {
      train, test,
      fmt::format("{} + {} real digits from {}", train.labels.size(0), test.labels.size(0), folder.string())};
}

/// Whether all four files are there.
inline bool has_digits(const std::filesystem::path& folder) {
  using namespace std::string_view_literals;
  return std::ranges::all_of(std::array{"train-images-idx3-ubyte"sv, "train-labels-idx1-ubyte"sv,
                                        "t10k-images-idx3-ubyte"sv, "t10k-labels-idx1-ubyte"sv},
                             [&](std::string_view file) {
                               return exists(folder / file) || exists(folder / (std::string(file) + ".gz"));
                             });
}

/// A folder named by an environment variable.
inline std::optional<std::filesystem::path> folder_from(const char* variable) {
  const char* folder = std::getenv(variable);
  return folder && *folder ? std::optional<std::filesystem::path>(folder) : std::nullopt;
}

/// Where downloaded digits are kept, if the machine has such a place.
inline std::optional<std::filesystem::path> cache_folder() {
  if (const auto cache = folder_from("XDG_CACHE_HOME")) return *cache / "abyme" / "mnist";
  if (const auto home = folder_from("HOME")) return *home / ".cache" / "abyme" / "mnist";
  return std::nullopt;
}

/// Downloads MNIST into a folder by the script beside this file, which CMake runs: its checksums, time limits
/// and TLS need no further library. The build says where both are.
inline bool download_digits(const std::filesystem::path& folder) {
  const auto quote = [](std::string text) {  // for the shell
    for (std::size_t at = 0; (at = text.find('\'', at)) != text.npos; at += 4) text.replace(at, 1, "'\\''");
    return "'" + text + "'";
  };
  const auto command = fmt::format("{} {} -P {} 2>/dev/null", quote(MNIST_CMAKE_COMMAND),
                                   quote("-DFOLDER=" + folder.string()), quote(MNIST_DOWNLOAD_SCRIPT));
  return std::system(command.c_str()) == 0 && has_digits(folder);
}

/// The digits in `folder` where one is given; else those in the folder that ABYME_MNIST_DIR names, else those
/// in the cache folder, else they are downloaded into it, else drawn: `source` says which. \throws
/// abyme::Error where the files in a folder are broken, or `folder` lacks them.
inline Digits load_digits(const std::optional<std::filesystem::path>& folder) {
  if (folder) return read_digits(*folder);
  const auto named = folder_from("ABYME_MNIST_DIR");
  if (named && has_digits(*named)) return read_digits(*named);

  const std::string missed = named ? fmt::format("no digits in ABYME_MNIST_DIR={}; ", named->string()) : "";
  if (const auto cache = cache_folder(); cache && (has_digits(*cache) || download_digits(*cache))) {
    Digits digits = read_digits(*cache);
    digits.source = missed + digits.source;
    return digits;
  }
  constexpr std::int64_t train = 8'000, test = 2'000;
  return {draw_digits(train, 1), draw_digits(test, 2),
          fmt::format(
              "{}no digits found and no network: drawing {} + {} digits of my own; give --data DIR for real "
              "ones",
              missed, train, test)};
}

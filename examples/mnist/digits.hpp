#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>

#include <abyme/data/idx.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

/// Digits of our own, for a machine without data and network: each is drawn by a pen along a handful of
/// points that are moved at random, as a hand would miss them. Only integers, + - * / and sqrt, so that a
/// seed gives the same digits on every machine (no std distribution, no sin).
namespace digits {

/// Splitmix64: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators".
struct Random {
  std::uint64_t state;

  std::uint64_t bits() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  std::size_t below(std::size_t n) { return std::size_t((bits() >> 32) * n >> 32); }
  double uniform(double low, double high) { return low + (high - low) * double(bits() >> 11) * 0x1p-53; }
  /// Nearly normal, within 3.5 of 0: the sum of four uniform numbers.
  double normal() {
    const std::uint64_t b = bits();
    const auto sum = double((b & 0xffff) + (b >> 16 & 0xffff) + (b >> 32 & 0xffff) + (b >> 48)) / 65536;
    return (sum - 2) * 1.7320508075688772;
  }
};

struct Point {
  double x, y;
};
using Stroke = std::vector<Point>;

/// A way to write a digit, in a box about 60 wide and 100 high, y downwards. Strokes are smooth curves
/// through their points; a point written twice is a corner.
struct Shape {
  int digit;
  std::vector<Stroke> strokes;
};

inline const std::vector<Shape>& shapes() {
  static const std::vector<Shape> all{
      {0, {{{38, 2}, {12, 14}, {2, 50}, {14, 90}, {34, 98}, {54, 84}, {62, 48}, {50, 12}, {34, 2}}}},
      {0, {{{46, 8}, {24, 4}, {6, 30}, {6, 70}, {26, 97}, {50, 86}, {60, 50}, {52, 18}, {30, 6}, {20, 12}}}},
      {1, {{{32, 0}, {31, 50}, {30, 100}}}},
      {1, {{{14, 22}, {34, 2}, {34, 2}, {33, 50}, {32, 100}}}},
      {2, {{{6, 24}, {16, 5}, {36, 1}, {52, 14}, {50, 38}, {28, 68}, {2, 97}, {2, 97}, {30, 94}, {62, 97}}}},
      {2, {{{8, 20}, {28, 2}, {50, 16}, {44, 50}, {22, 84}, {6, 92}, {4, 80}, {18, 78}, {40, 94}, {62, 92}}}},
      {3,
       {{{6, 10}, {30, 1}, {52, 14}, {46, 36}, {22, 46}, {22, 46}, {50, 56}, {58, 78}, {36, 98}, {4, 90}}}},
      {3, {{{6, 4}, {54, 4}, {54, 4}, {28, 42}, {28, 42}, {54, 58}, {52, 86}, {28, 98}, {4, 88}}}},
      {4, {{{14, 2}, {8, 30}, {4, 54}, {4, 54}, {30, 54}, {60, 50}}, {{48, 4}, {44, 50}, {42, 100}}}},
      {4, {{{48, 2}, {26, 30}, {2, 66}, {2, 66}, {30, 66}, {64, 64}}, {{46, 2}, {46, 50}, {44, 100}}}},
      {5, {{{54, 3}, {14, 4}, {14, 4}, {10, 42}, {10, 42}, {38, 40}, {58, 62}, {46, 92}, {22, 99}, {2, 90}}}},
      {5,
       {{{14, 4}, {10, 44}, {10, 44}, {40, 42}, {56, 68}, {40, 96}, {4, 92}}, {{14, 4}, {36, 5}, {60, 2}}}},
      {6, {{{46, 1}, {22, 20}, {6, 56}, {10, 88}, {34, 98}, {54, 82}, {48, 60}, {28, 56}, {8, 74}}}},
      {6, {{{26, 0}, {10, 40}, {6, 76}, {24, 98}, {48, 92}, {54, 70}, {36, 58}, {12, 70}}}},
      {7, {{{4, 6}, {30, 6}, {58, 3}, {58, 3}, {40, 40}, {26, 100}}}},
      {7, {{{2, 16}, {8, 4}, {30, 6}, {58, 4}, {58, 4}, {38, 50}, {28, 100}}, {{18, 52}, {56, 48}}}},
      {8,
       {{{50, 14},
         {30, 1},
         {12, 16},
         {24, 40},
         {50, 64},
         {50, 88},
         {28, 99},
         {8, 84},
         {18, 60},
         {46, 36},
         {52, 16}}}},
      {8,
       {{{32, 46},
         {12, 30},
         {18, 6},
         {42, 4},
         {52, 24},
         {32, 46},
         {10, 68},
         {14, 94},
         {44, 97},
         {56, 72},
         {32, 46}}}},
      {9, {{{50, 18}, {30, 2}, {8, 18}, {10, 42}, {32, 48}, {52, 22}, {52, 22}, {50, 60}, {44, 100}}}},
      {9,
       {{{52, 14}, {28, 4}, {6, 28}, {20, 50}, {44, 40}, {53, 14}, {54, 14}, {54, 56}, {40, 90}, {14, 98}}}},
  };
  return all;
}

constexpr int side = 28;

/// A pen on a picture: keeps for each pixel how far it is inside the ink.
struct Canvas {
  std::array<double, side * side> depth{};

  /// A line from a to b; the pen is a disc of this radius.
  void line(Point a, Point b, double radius) {
    const double reach = radius + 1, dx = b.x - a.x, dy = b.y - a.y, length2 = dx * dx + dy * dy;
    const auto pixel = [](double at) { return std::clamp(int(at), 0, side - 1); };
    for (int y = pixel(std::min(a.y, b.y) - reach); y <= pixel(std::max(a.y, b.y) + reach); ++y)
      for (int x = pixel(std::min(a.x, b.x) - reach); x <= pixel(std::max(a.x, b.x) + reach); ++x) {
        const double px = x + 0.5 - a.x, py = y + 0.5 - a.y;
        const double t = length2 > 0 ? std::clamp((px * dx + py * dy) / length2, 0.0, 1.0) : 0.0;
        const double ex = px - t * dx, ey = py - t * dy;
        double& d = depth[std::size_t(y * side + x)];
        d = std::max(d, radius + 0.6 - std::sqrt(ex * ex + ey * ey));
      }
  }
};

/// Cuts a stroke into short pieces: a Catmull-Rom curve, broken where a point stands twice.
inline Stroke smooth(const Stroke& points) {
  constexpr int pieces = 6;
  Stroke curve{points.front()};
  const auto same = [&](std::size_t i, std::size_t j) {
    return points[i].x == points[j].x && points[i].y == points[j].y;
  };
  for (std::size_t i = 0; i + 1 < points.size(); ++i) {
    if (same(i, i + 1)) continue;
    const Point p = points[i], q = points[i + 1];
    const Point before = i > 0 && !same(i - 1, i) ? points[i - 1] : p;
    const Point after = i + 2 < points.size() && !same(i + 1, i + 2) ? points[i + 2] : q;
    const auto at = [](double t, double a, double b, double c, double d) {
      return b + t / 2 * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
    };
    for (int k = 1; k <= pieces; ++k) {
      const double t = double(k) / pieces;
      curve.push_back({at(t, before.x, p.x, q.x, after.x), at(t, before.y, p.y, q.y, after.y)});
    }
  }
  return curve;
}

/// Draws one digit into `pixels` [28 * 28].
inline void draw(const Shape& shape, Random& random, std::span<unsigned char> pixels) {
  // The hand: misses points, is slanted, turned, bent, wide or narrow.
  const double miss = random.uniform(2, 6), slant = 0.2 + 0.2 * random.normal(), turn = 0.1 * random.normal(),
               bend = 6 * random.normal(), width = random.uniform(0.8, 1.4);
  std::vector<Stroke> strokes = shape.strokes;
  for (Stroke& stroke : strokes) {
    Point last{}, moved{};
    for (Point& point : stroke) {
      const Point here = point;
      const bool corner = here.x == last.x && here.y == last.y;
      if (!corner) {
        const double x = here.x - 30 + miss * random.normal(), y = here.y - 50 + miss * random.normal();
        moved.x = width * x - slant * y + bend * (y * y / 2500 - 0.5);
        moved.y = y + turn * x;
      }
      last = here;
      point = moved;
    }
    stroke = smooth(stroke);
  }

  // The paper: the digit's box in the middle, of some size, a little off.
  Point low{1e9, 1e9}, high{-1e9, -1e9};
  for (const Stroke& stroke : strokes)
    for (const Point& p : stroke) {
      low = {std::min(low.x, p.x), std::min(low.y, p.y)};
      high = {std::max(high.x, p.x), std::max(high.y, p.y)};
    }
  const double size = random.uniform(16, 20), scale = size / std::max(high.x - low.x, high.y - low.y);
  const Point to{14 + 0.8 * random.normal(), 14 + 0.8 * random.normal()};
  const auto place = [&](Point p) {
    return Point{to.x + scale * (p.x - (low.x + high.x) / 2), to.y + scale * (p.y - (low.y + high.y) / 2)};
  };

  // The pen: thin or thick, pressed harder at one end.
  const double radius = random.uniform(0.7, 1.6), press = 0.2 * random.normal();
  Canvas canvas;
  for (const Stroke& stroke : strokes)
    for (std::size_t i = 0; i + 1 < stroke.size(); ++i) {
      const double along = double(i) / double(stroke.size()) - 0.5;
      canvas.line(place(stroke[i]), place(stroke[i + 1]), radius * (1 + press * along));
    }
  const double noise = random.uniform(0, 16), ink = random.uniform(225, 300);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const double value = ink * std::min(canvas.depth[i], 1.0) + noise * random.normal();
    pixels[i] = static_cast<unsigned char>(std::clamp(value, 0.0, 255.0) + 0.5);
  }
}

}  // namespace digits

/// Draws `count` digits: images [count, 28, 28] uint8, white on black as MNIST's, and labels [count] int64;
/// as many of each class as of the others, in random order. The same count and seed give the same digits.
inline abyme::LabelledImages draw_digits(std::int64_t count, std::uint64_t seed) {
  digits::Random random{seed};
  std::vector<int> classes(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i] = int(i % 10);
  for (std::size_t i = classes.size(); i > 1; --i) std::swap(classes[i - 1], classes[random.below(i)]);

  const at::Tensor images(at::detail::empty_cpu({count, digits::side, digits::side}, at::kByte));
  const at::Tensor labels(at::detail::empty_cpu({count}, at::kLong));
  const std::span pixels(images.data_ptr<unsigned char>(), static_cast<std::size_t>(images.numel()));
  constexpr std::size_t area = digits::side * digits::side;
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const auto& shape = digits::shapes()[std::size_t(classes[i]) * 2 + random.below(2)];
    labels.data_ptr<std::int64_t>()[i] = shape.digit;
    digits::draw(shape, random, pixels.subspan(i * area, area));
  }
  return {images, labels};
}

#pragma once

#include <abyme/core/value.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace abyme {

/// How a progress bar looks: as Keras' (`pkbar`), or as `tqdm`'s in ASCII.
enum class BarStyle : std::uint8_t { keras, tqdm };
inline std::string_view toString(BarStyle style) { return style == BarStyle::keras ? "keras" : "tqdm"; }

/// How far something is, for `bar_text`.
struct Progress {
  double done = 0;
  std::optional<double> total = {};     ///< in the unit of `done`; none where it is not known
  std::optional<double> seconds = {};   ///< since the beginning
  std::optional<double> per_unit = {};  ///< seconds
  bool ended = false;
  std::string_view unit = "step";
  std::string_view title = "";   ///< tqdm: in front of the bar
  std::string_view values = "";  ///< as `add_value` makes them
};

// Templates, so that only a file that draws a bar spends its compiler's time on them.
namespace reflect {

template <class Seconds>
std::string keras_time(Seconds seconds) {
  const auto all = static_cast<std::int64_t>(seconds);
  if (all >= 3600) return fmt::format("{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60);
  if (all >= 60) return fmt::format("{}:{:02}", all / 60, all % 60);
  return fmt::format("{}s", all);
}

template <class State>
std::string keras_text(const State& at, int width) {
  const auto done = static_cast<std::int64_t>(at.done);
  std::string text;
  if (at.total) {
    const auto total = std::to_string(static_cast<std::int64_t>(*at.total));
    const double fraction = *at.total > 0 ? at.done / *at.total : 1;
    const auto full = static_cast<std::size_t>(std::max(0.0, width * fraction));
    std::string bar(full, '=');
    if (full > 0 && fraction < 1) bar.back() = '>';
    bar.resize(static_cast<std::size_t>(std::max(0, width)), '.');
    text = fmt::format("{:>{}}/{} [{}]", done, total.size(), total, bar);
  } else {
    text = fmt::format("{:>7}/Unknown", done);
  }
  if (at.total && !at.ended) {
    text += " - ETA: " + (at.per_unit ? keras_time(*at.per_unit * (*at.total - at.done)) : "?");
  } else if (at.seconds) {
    text += fmt::format(" - {:.0f}s", *at.seconds);
    if (at.per_unit && (*at.per_unit >= 1 || *at.per_unit == 0))
      text += fmt::format(" {:.0f}s/{}", *at.per_unit, at.unit);
    else if (at.per_unit && *at.per_unit >= 1e-3)
      text += fmt::format(" {:.0f}ms/{}", *at.per_unit * 1e3, at.unit);
    else if (at.per_unit) text += fmt::format(" {:.0f}us/{}", *at.per_unit * 1e6, at.unit);
  }
  return text.append(at.values);
}

template <class Seconds>
std::string tqdm_time(Seconds seconds) {
  const auto all = static_cast<std::int64_t>(seconds);
  if (all >= 3600) return fmt::format("{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60);
  return fmt::format("{:02}:{:02}", all / 60, all % 60);
}

template <class State>
std::string tqdm_text(const State& at, int width) {
  const auto done = static_cast<std::int64_t>(at.done);
  std::string rate = "?" + std::string(at.unit) + "/s";
  if (at.per_unit && *at.per_unit > 1) rate = fmt::format("{:5.2f}s/{}", *at.per_unit, at.unit);
  else if (at.per_unit && *at.per_unit > 0) rate = fmt::format("{:5.2f}{}/s", 1 / *at.per_unit, at.unit);
  const std::string title = at.title.empty() ? "" : fmt::format("{}: ", at.title);
  const std::string time = tqdm_time(at.seconds.value_or(0));
  if (!at.total || *at.total <= 0)
    return fmt::format("{}{}{} [{}, {}{}]", title, done, at.unit, time, rate, at.values);
  const double fraction = at.done / *at.total;
  const auto tenths = static_cast<std::size_t>(std::max(0.0, fraction * width * 10));
  std::string bar(tenths / 10, '#');
  if (bar.size() < static_cast<std::size_t>(std::max(0, width))) {
    bar += " 123456789"[tenths % 10];
    bar.resize(static_cast<std::size_t>(width), ' ');
  }
  return fmt::format("{}{:3.0f}%|{}| {}/{} [{}<{}, {}{}]", title, 100 * fraction, bar, done,
                     static_cast<std::int64_t>(*at.total), time,
                     at.per_unit ? tqdm_time(*at.per_unit * (*at.total - at.done)) : "?", rate, at.values);
}

}  // namespace reflect

/// The text of a bar. \param width of the bar itself, in characters
template <class State = Progress>
std::string bar_text(BarStyle style, const std::type_identity_t<State>& at, int width) {
  return style == BarStyle::keras ? reflect::keras_text(at, width) : reflect::tqdm_text(at, width);
}

/// Appends ` - loss: 0.1234` (scientific up to 0.001), or `, loss=0.123`. What is no number, text or bool is
/// left out.
inline void add_value(std::string& text, BarStyle style, std::string_view name, const Value& value) {
  std::string shown;
  if (const Kind is = kind(value); is == Kind::text || is == Kind::boolean || is == Kind::integer) {
    shown = to_text(value);
  } else if (const std::optional<double> found = number(value); !found) {
    return;
  } else if (std::isnan(*found)) {
    shown = "nan";
  } else if (style == BarStyle::keras) {
    shown = std::abs(*found) > 1e-3 ? fmt::format("{:.4f}", *found) : fmt::format("{:.4e}", *found);
  } else {  // tqdm: the shorter of 3 digits and all
    const std::string all = fmt::format("{}", *found);
    shown = fmt::format("{:.3g}", *found);
    for (const auto& [from, to] : {std::pair{"e+0", "e+"}, {"e-0", "e-"}}) {
      if (const auto at = shown.find(from); at != shown.npos) shown.replace(at, 3, to);
    }
    if (all.size() <= shown.size()) shown = all;
  }
  if (style == BarStyle::keras) text.append(" - ").append(name).append(name.empty() ? "" : ": ");
  else text.append(", ").append(name).append(name.empty() ? "" : "=");
  text += shown;
}

}  // namespace abyme

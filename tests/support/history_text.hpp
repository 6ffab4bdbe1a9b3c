#pragma once

#include <abyme/write/history.hpp>

#include <string>
#include <vector>

namespace tests {

/// All that logs hold, in their order: "metrics.loss=0.5"; tensors with their type and shape, texts in
/// quotes.
inline std::string text_of(const abyme::Logs& logs) {
  std::string text;
  for (const auto& [collection, entries] : logs) {
    for (const auto& [name, value] : entries) {
      text += fmt::format("{}{}.{}=", text.empty() ? "" : " ", collection, name);
      const auto* tensor = std::get_if<at::Tensor>(&value);
      if (tensor)
        text += fmt::format("{}{}", toString(tensor->scalar_type()), abyme::shape_text(*tensor).substr(6));
      text += abyme::to_record(value).json();
      if (abyme::kind(value) == abyme::Kind::duration) text += "s";
    }
  }
  return text;
}

/// A line a row: steps, samples, seconds, seconds since 1970, and the logs.
inline std::vector<std::string> lines_of(const abyme::History& history) {
  std::vector<std::string> lines;
  for (const auto& [elapsed, logs] : history) {
    lines.push_back(fmt::format("{} {} {} {}: {}", elapsed.steps, elapsed.samples, elapsed.time.count(),
                                abyme::seconds_of(elapsed.date), text_of(logs)));
  }
  return lines;
}

}  // namespace tests

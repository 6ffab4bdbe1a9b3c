#pragma once

#include <abyme/core/error.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/save/file.hpp>
#include <abyme/save/match_tensors.hpp>
#include <abyme/save/read_safetensors.hpp>
#include <abyme/save/safetensors.hpp>
#include <abyme/save/ties.hpp>

#include <torch/nn/module.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

/// The parameters and buffers of a model, under the names that PyTorch's `state_dict` gives them.
inline std::vector<NamedTensor> named_tensors(const torch::nn::Module& model) {
  std::vector<NamedTensor> all;
  for (const auto& each : model.named_parameters()) all.push_back({each.key(), each.value()});
  for (const auto& each : model.named_buffers()) all.push_back({each.key(), each.value()});
  std::erase_if(all, [](const NamedTensor& each) { return !each.tensor.defined(); });
  return all;
}

/// Writes the weights of a model as a safetensors file, see `save_weights`. \throws Error
inline void write_weights(File& file, const torch::nn::Module& model,
                          std::map<std::string, std::string> metadata = {}) {
  const auto tensors = named_tensors(model);
  metadata["format"] = "pt";  // Python's transformers ask for it
  if (auto ties = ties_text(tensors); !ties.empty()) metadata["ties"] = std::move(ties);
  write_safetensors(file, tensors, metadata);
}

/// Writes the parameters and buffers of a model as a safetensors file, whole or not at all, in place of one
/// that is there: `ab::save_weights(model, "models/net.safetensors")`. In Python
/// `model.load_state_dict(safetensors.torch.load_file(path))` reads it. Tied weights are written under each
/// of their names. Folders are made. The model is a module, a module holder or a pointer. \throws Error
template <ModelLike Model>
void save_weights(Model&& model, const std::filesystem::path& path) {
  const auto held = own_or_borrow_model(std::forward<Model>(model));
  write_atomically(path, [&](File& file) { write_weights(file, *held); });
}

struct LoadWeightsOptions {
  bool partial = false;  ///< load the weights that match, and leave the others
};

/// Reads the parameters and buffers of a model from a safetensors file, by whomever it was written. Values
/// are copied in place: device, memory order, ties and optimizers stay. Names, shapes and dtypes must be
/// those of the model, or nothing is changed. \throws Error that lists all that differ.
/// \returns with `partial` a line for each tensor that was left, otherwise nothing.
template <ModelLike Model>
std::vector<std::string> load_weights(Model&& model, const std::filesystem::path& path,
                                      LoadWeightsOptions options = {}) {
  const auto held = own_or_borrow_model(std::forward<Model>(model));
  const Safetensors content = read_safetensors(path);
  TensorMatch match = match_tensors(named_tensors(*held), content.tensors);
  if (!match.differences.empty() && !options.partial) {
    std::string message =
        "load_weights: the file " + path.string() + " must hold the tensors of the model, got " +
        std::to_string(match.differences.size()) + " that differ; pass {.partial = true} to load the others";
    for (const std::string& each : match.differences) message += "\n  " + each;
    throw Error(message);
  }
  match.copy();
  return std::move(match.differences);
}

}  // namespace abyme

#pragma once

#include <abyme/core/ground.hpp>
#include <abyme/pass/model.hpp>
#include <abyme/save/new_path.hpp>
#include <abyme/save/weights.hpp>

#include <torch/nn/module.h>
#include <torch/serialize/output-archive.h>

#include <cstddef>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace abyme {

struct SaveModelOptions {
  bool overwrite = false;          ///< one file, replaced at each dig, in place of a new one
  bool date = true;                ///< the date and time in the name of a new file
  bool archive = false;            ///< LibTorch's own archive, for `torch::load`, in place of safetensors
  Input<std::string> prefix = "";  ///< put before the name; read at each dig
};

/// Saves the weights of a model: `ab::SaveModel(model, "models/net", {.prefix = epochs.get("counter")})`
/// writes `models/3_2026-11-21_05-30-53_net.safetensors`, which Python's safetensors reads under the names of
/// PyTorch's `state_dict`. A name that is taken gets a number behind it, `net-2`, so that nothing is lost;
/// with `overwrite` there is one file, `models/3_net.safetensors`, without date. Written whole or not at all.
/// Folders are made. The model is shared where it is a module holder or a `shared_ptr`, owned as an rvalue,
/// borrowed as an lvalue.
///
/// Events, children see this node: `before_save`, `after_save`. Fields: `path` (of the file written last,
/// nothing before the first), `name`, its options. \throws Error at a dig where it can't be written.
class SaveModelNode : public Node {
public:
  using Options = SaveModelOptions;
  static constexpr auto events = abyme::events("before_save", "after_save");

  Input<std::string> file_name;
  Options options;
  std::optional<std::string> path;
  static constexpr auto fields =
      abyme::fields(state("path", &SaveModelNode::path), field("name", &SaveModelNode::file_name));

  template <ModelLike Model>
  explicit SaveModelNode(Model&& model, Input<std::string> name, Options options = {})
      : file_name(std::move(name)),
        options(std::move(options)),
        model_(own_or_borrow_model(std::forward<Model>(model))) {}

  Step next(Step finished) override {
    if (finished == entry) return events["before_save"];
    if (finished == events["after_save"]) return done;
    const auto write = [this](File& out) {
      if (!options.archive) return write_weights(out, *model_);
      torch::serialize::OutputArchive archive;
      model_->save(archive);
      std::exception_ptr failed;  // told at the end: where its writer throws, LibTorch ends the program
      archive.save_to([&](const void* bytes, std::size_t count) {
        try {
          if (!failed) out.write(bytes, count);
        } catch (...) {
          failed = std::current_exception();
        }
        return count;
      });
      if (failed) std::rethrow_exception(failed);
    };
    const auto wanted = wanted_now();
    auto file = wanted;
    do {
      if (!options.overwrite) file = free_path(wanted);
    } while (!write_atomically(file, write, options.overwrite ? Existing::replace : Existing::keep));
    path = file.string();
    return events["after_save"];
  }

  void check(Place& place) const override {
    const auto name = file_name.constant();
    if (name && !names_a_file(*name)) return place.fault(rule(*name));
    if (const auto prefix = options.prefix.constant(); name && prefix && options.overwrite)
      place.claim(wanted_path(*name, *prefix).string());
  }

private:
  static bool names_a_file(const std::filesystem::path& name) {
    return name.has_filename() && name.filename() != "." && name.filename() != "..";
  }
  static std::string rule(const std::string& name) {
    return fmt::format("name must be that of a file, got \"{}\"; pass one, as in \"models/net\"", name);
  }
  std::filesystem::path wanted_path(const std::filesystem::path& wanted, std::string name) const {
    const std::string extension = options.archive ? ".pt" : ".safetensors";
    const auto add = [&name](const std::string& part) { name += (name.empty() ? "" : "_") + part; };
    if (options.date && !options.overwrite) add(date_text());
    add(wanted.filename().string());
    if (!name.ends_with(extension)) name += extension;
    return wanted.parent_path() / name;
  }
  std::filesystem::path wanted_now() const {
    const std::string name = read(file_name);
    if (!names_a_file(name)) throw Error(rule(name));
    return wanted_path(name, read(options.prefix));
  }

  std::shared_ptr<torch::nn::Module> model_;
};
using SaveModel = Handle<SaveModelNode>;

}  // namespace abyme

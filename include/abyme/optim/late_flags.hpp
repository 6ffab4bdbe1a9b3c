#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <abyme/core/kept.hpp>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>
#include <utility>

namespace abyme::optim {

/// Flags computed on a device in one step and read on the host in the next, so that nobody waits for them.
class LateFlags {
public:
  /// Starts to copy them. \param flags [n], bool
  void put(const at::Tensor& flags) {
    if (!host_.defined() || host_.sizes() != flags.sizes())
      host_ = at::empty(flags.sizes(), at::TensorOptions(at::kBool).pinned_memory(!flags.is_cpu()));
    host_.copy_(flags, /*non_blocking=*/true);
    if (!flags.is_cpu()) {
      if (!copied_) copied_.emplace(flags.device().type());
      copied_->record(c10::impl::VirtualGuardImpl(flags.device().type()).getStream(flags.device()));
    }
    waiting_ = true;
  }
  /// Those of the last `put`, [n] on the CPU; undefined where there were none since the last `take`.
  at::Tensor take() {
    if (!std::exchange(waiting_, false)) return std::exchange(loaded_, at::Tensor());
    if (copied_) copied_->synchronize();
    return host_;
  }
  void forget() {
    waiting_ = false;
    loaded_ = at::Tensor();
  }

  /// For snapshots: waits for those that are under way.
  void save(Kept& kept) {
    if (waiting_ && copied_) copied_->synchronize();
    kept.add("late", waiting_ ? host_ : loaded_);
  }
  void load(const Kept& kept) {
    forget();
    loaded_ = kept.tensor("late");
  }

private:
  at::Tensor host_;
  at::Tensor loaded_;  // from a snapshot
  std::optional<c10::Event> copied_;
  bool waiting_ = false;
};

}  // namespace abyme::optim

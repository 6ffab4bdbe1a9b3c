#pragma once

/// Everything that a CPU or CUDA user needs.

#include <abyme/core/describe.hpp>
#include <abyme/core/error.hpp>
#include <abyme/core/ground.hpp>
#include <abyme/data/batch.hpp>
#include <abyme/data/combine.hpp>
#include <abyme/data/idx.hpp>
#include <abyme/data/normalize.hpp>
#include <abyme/data/prefetch.hpp>
#include <abyme/data/tensor_batches.hpp>
#include <abyme/loop/data_looper.hpp>
#include <abyme/loop/iteration_looper.hpp>
#include <abyme/optim/adam.hpp>
#include <abyme/optim/rate.hpp>
#include <abyme/optim/rate_schedule.hpp>
#include <abyme/optim/sgd.hpp>
#include <abyme/pass/averaged.hpp>
#include <abyme/pass/pass.hpp>
#include <abyme/pass/supervised_pass.hpp>
#include <abyme/save/make_folder.hpp>
#include <abyme/save/save_model.hpp>
#include <abyme/stats/moving_stats.hpp>
#include <abyme/stats/reset.hpp>
#include <abyme/stats/stats.hpp>
#include <abyme/time/timer.hpp>
#include <abyme/trigger/if.hpp>
#include <abyme/trigger/new_low_trigger.hpp>
#include <abyme/trigger/periodic_trigger.hpp>
#include <abyme/trigger/range_trigger.hpp>
#include <abyme/trigger/threshold_trigger.hpp>
#include <abyme/write/csv_stream.hpp>
#include <abyme/write/csv_writer.hpp>
#include <abyme/write/pretty_print_store.hpp>
#include <abyme/write/print.hpp>
#include <abyme/write/store_aggregator.hpp>

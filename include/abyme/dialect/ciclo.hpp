#pragma once

/// Loops as lists of tasks with schedules, with all that belongs to them.

#include <abyme/abyme.hpp>
#include <abyme/dialect/cuda_graph.hpp>
#include <abyme/dialect/data_parallel.hpp>
#include <abyme/dialect/loops.hpp>
#include <abyme/dialect/managed.hpp>
#include <abyme/dialect/model_state.hpp>
#include <abyme/dialect/task_nodes.hpp>
#include <abyme/dialect/tasks.hpp>

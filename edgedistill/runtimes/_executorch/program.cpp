/* SPDX-License-Identifier: Apache-2.0
 *
 * ExecuTorch's C++ runtime behind a few C functions, for a Python without torch, which ExecuTorch's own binding needs.
 * Compiled against the headers and libraries of ExecuTorch's wheel. A function that can fail returns what went wrong,
 * or null.
 */
#include <cstdint>
#include <utility>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

namespace executorch::extension::threadpool {
/* The wheel has its library without its header. */
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t count);
};
ThreadPool *get_threadpool();
}  // namespace executorch::extension::threadpool

using executorch::aten::ScalarType;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::extension::TensorPtr;
using executorch::runtime::Error;
using executorch::runtime::EValue;

namespace {
struct Shape {
  ScalarType type;
  std::vector<executorch::aten::SizesType> sizes;
};

struct Program {
  explicit Program(const char *file) : module(file) {}
  Module module;
  std::vector<Shape> inputs;
  std::vector<EValue> outputs;
};

const char *words(Error error) { return error == Error::Ok ? nullptr : executorch::runtime::to_string(error); }
}  // namespace

extern "C" {
/* Threads are of the process: ExecuTorch has one pool. */
const char *program_open(const char *file, uint32_t threads, Program **opened) {
  using executorch::extension::threadpool::get_threadpool;
  if (!get_threadpool()->_unsafe_reset_threadpool(threads)) return "its thread pool takes no such size";
  auto program = new Program(file);
  *opened = program;
  if (auto error = program->module.load_forward(); error != Error::Ok) return words(error);
  auto meta = program->module.method_meta("forward");
  if (!meta.ok()) return words(meta.error());
  for (size_t i = 0; i < meta->num_inputs(); ++i) {
    auto input = meta->input_tensor_meta(i);
    if (!input.ok()) return words(input.error());
    auto sizes = input->sizes();
    program->inputs.push_back({input->scalar_type(), {sizes.begin(), sizes.end()}});
  }
  return nullptr;
}

void program_close(Program *program) { delete program; }

size_t program_threads() { return executorch::extension::threadpool::get_threadpool()->get_thread_count(); }

size_t program_inputs(const Program *program) { return program->inputs.size(); }

/* The number of dimensions; `sizes` are the largest that the file has room for. */
size_t program_input(const Program *program, size_t index, int8_t *type, const int32_t **sizes) {
  const auto &input = program->inputs[index];
  *type = static_cast<int8_t>(input.type);
  *sizes = input.sizes.data();
  return input.sizes.size();
}

/* `sizes`: those of all inputs, one input's after another's. */
const char *program_run(Program *program, void *const *data, const int32_t *sizes) {
  std::vector<TensorPtr> tensors;
  std::vector<EValue> values;
  for (size_t i = 0; i < program->inputs.size(); ++i) {
    const auto &input = program->inputs[i];
    tensors.push_back(from_blob(data[i], {sizes, sizes + input.sizes.size()}, input.type));
    sizes += input.sizes.size();
    values.emplace_back(tensors.back());
  }
  auto outputs = program->module.forward(values);
  if (!outputs.ok()) return words(outputs.error());
  program->outputs = std::move(outputs.get());
  for (const auto &output : program->outputs)
    if (!output.isTensor()) return "an output is not a tensor";
  return nullptr;
}

size_t program_outputs(const Program *program) { return program->outputs.size(); }

/* As of an input; the values are the program's own until it runs again. */
size_t program_output(const Program *program, size_t index, int8_t *type, const int32_t **sizes, const void **data) {
  const auto &tensor = program->outputs[index].toTensor();
  *type = static_cast<int8_t>(tensor.scalar_type());
  *sizes = tensor.sizes().data();
  *data = tensor.const_data_ptr();
  return tensor.sizes().size();
}
}

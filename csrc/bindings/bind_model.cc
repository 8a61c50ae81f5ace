// Model and Session: checks what comes from Python, hands buffers to the engine, releases the GIL.

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include "bindings/bindings.h"
#include "engine/session.h"

namespace whit::bindings {
namespace {

py::tuple shape_of(const Tensor& tensor) {
  py::tuple shape(tensor.shape.rank());
  for (int i = 0; i < tensor.shape.rank(); ++i) {
    if (tensor.shape[i] < 0)
      shape[static_cast<std::size_t>(i)] = py::str(tensor.dim_names[static_cast<std::size_t>(i)]);
    else
      shape[static_cast<std::size_t>(i)] = py::int_(tensor.shape[i]);
  }
  return shape;
}

py::object quantization_of(const Tensor& tensor) {
  const Quantization& q = tensor.quantization;
  if (!q) return py::none();
  py::dict item;
  item["scale"] = q.scale;
  item["zero_point"] = q.zero_point;
  item["axis"] = q.axis < 0 ? py::object(py::none()) : py::object(py::int_(q.axis));
  return item;
}

py::dict tensor_dict(const Tensor& tensor) {
  py::dict item;
  item["name"] = tensor.name;
  item["dtype"] = dtype_name(tensor.dtype);
  item["shape"] = shape_of(tensor);
  item["quantization"] = quantization_of(tensor);
  item["constant"] = tensor.is_constant();
  item["encoding"] = tensor.encoding;
  item["bytes"] = tensor.bytes;
  item["stored_bytes"] = tensor.stored_bytes;
  return item;
}

py::list tensor_names(const Model& model, const std::vector<int>& tensors) {
  py::list list;
  for (int tensor : tensors)
    list.append(tensor < 0 ? py::str("") : py::str(model.tensors[static_cast<std::size_t>(tensor)].name));
  return list;
}

py::dict attributes_dict(const Attributes& attributes) {
  py::dict item;
  for (const auto& [name, value] : attributes.all())
    std::visit([&, key = name](const auto& v) { item[key.c_str()] = py::cast(v); }, value);
  return item;
}

Shape shape_of(const py::array& array) {
  Shape shape;
  for (py::ssize_t i = 0; i < array.ndim(); ++i) shape.push_back(array.shape(i));
  return shape;
}

bool is_plain(const py::array& array) {
  constexpr int kPlain =
      static_cast<int>(py::array::c_style) | static_cast<int>(py::detail::npy_api::NPY_ARRAY_ALIGNED_);
  return (array.flags() & kPlain) == kPlain;
}

class PyModel {
 public:
  PyModel(std::shared_ptr<const Model> model, IsaSet isa)
      : prepared_(std::make_shared<PreparedModel>(std::move(model), isa)) {}

  static PyModel from_file(const std::string& path) {
    const IsaSet isa = unwrap(isa_active());
    Result<std::shared_ptr<const Model>> model = [&] {
      const GilRelease release;
      return read_model_file(path);
    }();
    return PyModel(unwrap(std::move(model)), isa);
  }
  static PyModel from_bytes(const py::bytes& data) {
    const IsaSet isa = unwrap(isa_active());
    const std::string_view view = data;
    Result<std::shared_ptr<const Model>> model = [&] {
      const GilRelease release;
      return read_model_bytes(view.data(), view.size());
    }();
    return PyModel(unwrap(std::move(model)), isa);
  }

  const Model& model() const { return prepared_->model(); }
  std::shared_ptr<PreparedModel> prepared() const { return prepared_; }

  py::list describe_tensors(const std::vector<int>& which) const {
    py::list list;
    for (int tensor : which) list.append(tensor_dict(model().tensors[static_cast<std::size_t>(tensor)]));
    return list;
  }
  py::list tensors() const {
    py::list list;
    for (const Tensor& tensor : model().tensors) list.append(tensor_dict(tensor));
    return list;
  }
  py::list nodes() const {
    py::list list;
    for (const Node& node : model().nodes) {
      py::dict item;
      item["name"] = node.name;
      item["op"] = op_name(node.op);
      item["inputs"] = tensor_names(model(), node.inputs);
      item["outputs"] = tensor_names(model(), node.outputs);
      item["attributes"] = attributes_dict(node.attributes);
      list.append(item);
    }
    return list;
  }

 private:
  std::shared_ptr<PreparedModel> prepared_;
};

/// Runs of one PySession queue on its mutex; the GIL is never held while waiting for it.
class PySession {
 public:
  PySession(const PyModel& model, std::optional<int> threads, const std::vector<std::string>& observe)
      : prepared_(model.prepared()) {
    const Model& m = prepared_->model();
    std::vector<int> observed;
    output_tensors_ = m.outputs;
    for (const std::string& name : observe) {
      const int index = find_tensor(name);
      if (std::find(output_tensors_.begin(), output_tensors_.end(), index) != output_tensors_.end()) continue;
      observed.push_back(index);
      output_tensors_.push_back(index);
    }
    const int count = thread_count(threads);
    Result<std::unique_ptr<Session>> session = [&] {
      const GilRelease release;
      return Session::make(prepared_, count, std::move(observed));
    }();
    session_ = unwrap(std::move(session));
    for (int input : m.inputs) input_dtypes_.push_back(numpy_dtype(tensor(input).dtype));
    for (int output : output_tensors_) output_dtypes_.push_back(numpy_dtype(tensor(output).dtype));
  }

  py::dict run(const py::dict& feeds, const py::object& outputs, const py::object& out) {
    const std::vector<bool> wanted = wanted_outputs(outputs);
    const std::vector<py::array> results = execute(named_inputs(feeds), out);
    py::dict named;
    for (std::size_t i = 0; i < results.size(); ++i)
      if (wanted[i]) named[py::str(tensor(output_tensors_[i]).name)] = results[i];
    return named;
  }

  py::object call(const py::args& arguments) {
    const std::vector<int>& inputs = prepared_->model().inputs;
    if (arguments.size() != inputs.size())
      raise_error(Code::invalid_argument, "the model has " + std::to_string(inputs.size()) + " inputs" +
                                              list_names(inputs) + "; got " + std::to_string(arguments.size()) +
                                              " arrays");
    std::vector<py::array> arrays;
    for (std::size_t i = 0; i < inputs.size(); ++i) arrays.push_back(checked_input(i, arguments[i]));
    const std::vector<py::array> results = execute(arrays, py::none());
    if (results.size() == 1) return results[0];
    return py::tuple(py::cast(results));
  }

  /// (per planned node a description, nanoseconds [runs, nodes])
  py::tuple profile(const py::dict& feeds, int runs) {
    if (runs < 1) raise_error(Code::invalid_argument, "profile: runs must be at least 1");
    const std::vector<py::array> inputs = named_inputs(feeds);
    const std::unique_lock lock = acquire();
    const Buffers buffers = bind(inputs, given_outputs(py::none()));
    const std::size_t nodes = session_->plan()->nodes.size();
    py::array_t<u64> times({static_cast<std::size_t>(runs), nodes});
    u64* row = times.mutable_data();
    std::memset(row, 0, static_cast<std::size_t>(times.nbytes()));
    {
      const GilRelease release;
      session_->run(buffers.in, buffers.out);
      for (int i = 0; i < runs; ++i, row += nodes) session_->run(buffers.in, buffers.out, {row, nodes});
    }
    return py::make_tuple(describe_nodes(), times);
  }

  py::list planned_nodes() const {
    const std::unique_lock lock = acquire();
    return describe_nodes();
  }

  s64 arena_bytes() const {
    const std::unique_lock lock = acquire();
    return session_->plan() ? session_->plan()->arena_bytes : 0;
  }
  int threads() const { return session_->threads(); }

 private:
  /// What a run reads and writes. The arrays of the inputs belong to the caller.
  struct Buffers {
    std::vector<const std::byte*> in;
    std::vector<std::byte*> out;
    std::vector<py::array> results;
  };

  const Tensor& tensor(int index) const { return prepared_->model().tensors[static_cast<std::size_t>(index)]; }

  /// Only the holder may look at the session's plan or run it.
  std::unique_lock<std::mutex> acquire() const {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) {
      const GilRelease release;
      lock.lock();
    }
    return lock;
  }

  py::list describe_nodes() const {
    const Model& m = prepared_->model();
    py::list list;
    if (!session_->plan()) return list;
    const Plan& plan = *session_->plan();
    for (const PlannedNode& planned : plan.nodes) {
      s64 bytes = 0;
      for (int input : planned.node->inputs) bytes += input < 0 ? 0 : plan.tensor_bytes(m, input);
      for (int output : planned.node->outputs) bytes += output < 0 ? 0 : plan.tensor_bytes(m, output);
      py::dict item;
      item["name"] = planned.node->name;
      item["op"] = op_name(planned.node->op);
      item["kernel"] = planned.op->kernel();
      item["bytes"] = bytes;
      list.append(item);
    }
    return list;
  }

  int find_tensor(const std::string& name) const {
    const std::vector<Tensor>& tensors = prepared_->model().tensors;
    for (std::size_t i = 0; i < tensors.size(); ++i)
      if (tensors[i].name == name) return static_cast<int>(i);
    raise_error(Code::invalid_argument, "the model has no tensor named '" + name + "'");
  }

  std::string list_names(const std::vector<int>& tensors) const {
    std::string text = " (";
    for (std::size_t i = 0; i < tensors.size(); ++i) text += (i ? ", '" : "'") + tensor(tensors[i]).name + "'";
    return text + ")";
  }

  py::array checked_input(std::size_t index, const py::handle& value) const {
    const Tensor& input = tensor(prepared_->model().inputs[index]);
    if (!py::isinstance<py::array>(value))
      raise_error(Code::invalid_argument, "input '" + input.name + "' must be a numpy array; got " +
                                              py::str(py::type::of(value).attr("__name__")).cast<std::string>());
    const py::array array = py::reinterpret_borrow<py::array>(value);
    if (!array.dtype().equal(input_dtypes_[index]))
      raise_error(Code::invalid_argument, "input '" + input.name + "' must be " +
                                              py::str(input_dtypes_[index]).cast<std::string>() + "; got " +
                                              describe(array) + " (convert it with .astype())");
    if (array.ndim() > Shape::kMaxRank) raise_error(Code::shape, "input '" + input.name + "': got " + describe(array));
    if (is_plain(array)) return array;
    return py::array::ensure(array.attr("copy")("C"), py::array::c_style);
  }

  std::vector<py::array> named_inputs(const py::dict& feeds) const {
    const std::vector<int>& inputs = prepared_->model().inputs;
    std::vector<py::array> arrays;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const py::str name(tensor(inputs[i]).name);
      if (!feeds.contains(name))
        raise_error(Code::invalid_argument,
                    "input '" + tensor(inputs[i]).name + "' is missing; the model's inputs are" + list_names(inputs));
      arrays.push_back(checked_input(i, feeds[name]));
    }
    if (feeds.size() != inputs.size()) {
      for (const auto& [key, value] : feeds) {
        const std::string name = py::str(key);
        bool known = false;
        for (int input : inputs) known |= tensor(input).name == name;
        if (!known)
          raise_error(Code::invalid_argument,
                      "the model has no input named '" + name + "'; its inputs are" + list_names(inputs));
      }
    }
    return arrays;
  }

  std::vector<bool> wanted_outputs(const py::object& outputs) const {
    std::vector<bool> wanted(output_tensors_.size(), outputs.is_none());
    if (outputs.is_none()) return wanted;
    for (const py::handle& item : outputs) {
      const std::string name = py::str(item);
      wanted[output_index(name)] = true;
    }
    return wanted;
  }

  std::size_t output_index(const std::string& name) const {
    for (std::size_t i = 0; i < output_tensors_.size(); ++i)
      if (tensor(output_tensors_[i]).name == name) return i;
    raise_error(Code::invalid_argument,
                "the model has no output named '" + name + "'; its outputs are" + list_names(output_tensors_));
  }

  /// The caller's arrays of `out`, in the places of their outputs; the rest is null.
  std::vector<py::object> given_outputs(const py::object& out) const {
    std::vector<py::object> given(output_tensors_.size());
    if (out.is_none()) return given;
    if (!py::isinstance<py::dict>(out))
      raise_error(Code::invalid_argument, "out must be a dict of output name -> array");
    for (const auto& [key, value] : py::reinterpret_borrow<py::dict>(out)) {
      const std::size_t index = output_index(py::str(key));
      if (!py::isinstance<py::array>(value))
        raise_error(Code::invalid_argument, "out['" + tensor(output_tensors_[index]).name + "'] must be a numpy array");
      given[index] = py::reinterpret_borrow<py::object>(value);
    }
    return given;
  }

  py::array result_array(std::size_t index, const py::object& given) const {
    const Shape& shape = session_->plan()->shapes[static_cast<std::size_t>(output_tensors_[index])];
    const std::vector<py::ssize_t> sizes(shape.begin(), shape.end());
    const py::dtype& dtype = output_dtypes_[index];
    if (!given) return py::array(dtype, sizes);
    const py::array array = py::reinterpret_borrow<py::array>(given);
    const std::string name = "out['" + tensor(output_tensors_[index]).name + "']";
    const std::string wanted = " must be " + py::str(dtype).cast<std::string>() + " " + shape.text();
    if (!array.dtype().equal(dtype)) raise_error(Code::invalid_argument, name + wanted + "; got " + describe(array));
    if (array.ndim() > Shape::kMaxRank || !(shape_of(array) == shape))
      raise_error(Code::shape, name + wanted + "; got " + describe(array));
    if (!is_plain(array)) raise_error(Code::invalid_argument, name + " must be C-contiguous and aligned");
    if (!array.writeable()) raise_error(Code::invalid_argument, name + " is read-only");
    return array;
  }

  /// Plans for the shapes of the inputs and finds or makes the arrays of the outputs. The caller holds the lock.
  Buffers bind(const std::vector<py::array>& inputs, const std::vector<py::object>& given) {
    Buffers buffers;
    std::vector<Shape> shapes;
    for (const py::array& array : inputs) {
      shapes.push_back(shape_of(array));
      buffers.in.push_back(static_cast<const std::byte*>(array.data()));
    }
    Status prepared;
    {
      const GilRelease release;
      prepared = session_->prepare(shapes);
    }
    raise_if_error(prepared);
    for (std::size_t i = 0; i < output_tensors_.size(); ++i) {
      py::array result = result_array(i, given[i]);
      if (given[i]) check_apart(result, tensor(output_tensors_[i]).name, inputs, buffers.results);
      buffers.out.push_back(static_cast<std::byte*>(result.mutable_data()));
      buffers.results.push_back(std::move(result));
    }
    return buffers;
  }

  std::vector<py::array> execute(const std::vector<py::array>& inputs, const py::object& out) {
    const std::vector<py::object> given = given_outputs(out);
    std::unique_lock lock = acquire();
    Buffers buffers = bind(inputs, given);
    {
      const GilRelease release;
      session_->run(buffers.in, buffers.out);
      lock.unlock();  // before the GIL is taken back
    }
    return std::move(buffers.results);
  }

  static bool overlap(const py::array& a, const py::array& b) {
    const char *a_begin = static_cast<const char*>(a.data()), *b_begin = static_cast<const char*>(b.data());
    return a_begin < b_begin + b.nbytes() && b_begin < a_begin + a.nbytes();
  }

  static void check_apart(const py::array& array, const std::string& name, const std::vector<py::array>& inputs,
                          const std::vector<py::array>& outputs) {
    for (const py::array& input : inputs)
      if (overlap(array, input)) raise_error(Code::invalid_argument, "out['" + name + "'] overlaps an input");
    for (const py::array& output : outputs)
      if (overlap(array, output)) raise_error(Code::invalid_argument, "out['" + name + "'] overlaps another output");
  }

  std::shared_ptr<PreparedModel> prepared_;
  std::unique_ptr<Session> session_;
  std::vector<int> output_tensors_;
  std::vector<py::dtype> input_dtypes_, output_dtypes_;
  mutable std::mutex mutex_;
};

}  // namespace

void bind_model(py::module_& module) {
  py::class_<PyModel>(module, "Model")
      .def_static("from_file", &PyModel::from_file, py::arg("path"))
      .def(py::init(&PyModel::from_bytes), py::arg("data"))
      .def("inputs", [](const PyModel& self) { return self.describe_tensors(self.model().inputs); })
      .def("outputs", [](const PyModel& self) { return self.describe_tensors(self.model().outputs); })
      .def("tensors", &PyModel::tensors)
      .def("nodes", &PyModel::nodes)
      .def_property_readonly("metadata", [](const PyModel& self) { return self.model().metadata; })
      .def_property_readonly("file_bytes", [](const PyModel& self) { return self.model().file_bytes; })
      .def_property_readonly(
          "version",
          [](const PyModel& self) { return py::make_tuple(self.model().version_major, self.model().version_minor); })
      .def_property_readonly("isa", [](const PyModel& self) { return isa_name(isa_best(self.prepared()->isa())); })
      .def_property_readonly("packed_bytes", [](const PyModel& self) { return self.prepared()->packed_bytes(); });

  py::class_<PySession>(module, "Session")
      .def(py::init<const PyModel&, std::optional<int>, const std::vector<std::string>&>(), py::arg("model"),
           py::arg("threads") = py::none(), py::arg("observe") = std::vector<std::string>())
      .def("run", &PySession::run, py::arg("feeds"), py::arg("outputs") = py::none(), py::arg("out") = py::none())
      .def("__call__", &PySession::call)
      .def("profile", &PySession::profile, py::arg("feeds"), py::arg("runs"))
      .def("nodes", &PySession::planned_nodes)
      .def_property_readonly("arena_bytes", &PySession::arena_bytes)
      .def_property_readonly("threads", &PySession::threads);
}

}  // namespace whit::bindings

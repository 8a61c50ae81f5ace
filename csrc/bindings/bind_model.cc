// Model and Session: checks what comes from Python, hands buffers to the engine, releases the GIL.

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>

#include "base/half.h"
#include "bindings/bindings.h"
#include "engine/session.h"
#include "ops/product.h"
#include "ops/sparse_product.h"

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
  item["axis"] = q.axis < 0 ? py::object(py::none()) : py::object(py::int_(q.axis));
  if (!q.is_grouped()) {
    item["scale"] = q.scale;
    item["zero_point"] = q.zero_point;
    return item;
  }
  std::vector<f32> scale;
  for (std::size_t i = 0; i < q.group_count(); ++i) scale.push_back(half_to_float(q.group_scale(i)));
  item["scale"] = scale;
  item["zero_point"] = std::vector<s32>(scale.size(), 0);
  item["group"] = Quantization::kGroup;
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
  /// Whether the engine may run a product of this model with kernels for sparse weights.
  bool has_sparse_weights() const { return has_weights(ops::has_many_zeros); }
  /// The same of kernels for weights of few values.
  bool has_coded_weights() const {
    return has_weights(
        [](const Tensor& w) { return w.quantization.is_grouped() || (w.is_constant() && ops::ProductW4::suits(w)); });
  }
  /// Of a conv or gemm.
  template <class Predicate>
  bool has_weights(const Predicate& predicate) const {
    return std::any_of(model().nodes.begin(), model().nodes.end(), [&](const Node& node) {
      const bool product = node.op == Op::conv || node.op == Op::gemm;
      return product && predicate(model().tensors[static_cast<std::size_t>(node.inputs[1])]);
    });
  }

  /// The dense values of a constant, as bytes.
  py::bytes constant(const std::string& name) const {
    for (const Tensor& tensor : model().tensors)
      if (tensor.name == name && tensor.is_constant())
        return py::bytes(reinterpret_cast<const char*>(tensor.data), static_cast<std::size_t>(tensor.bytes));
    raise_error(Code::invalid_argument, "the model has no constant named '" + name + "'");
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
      item["packed_bytes"] = prepared_->packed_bytes(node);
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
    for (int input : m.inputs) inputs_.push_back(port(input));
    for (int output : output_tensors_) outputs_.push_back(port(output));
  }

  py::dict run(const py::dict& feeds, const py::object& outputs, const py::object& out) {
    std::vector<bool> wanted;
    if (!outputs.is_none()) wanted = wanted_outputs(outputs);
    const CallLoan call(this);
    named_inputs(feeds, &call->inputs);
    execute(out, call.get());
    py::dict named;
    for (std::size_t i = 0; i < outputs_.size(); ++i)
      if (wanted.empty() || wanted[i]) named[outputs_[i].name] = call->results[i];
    return named;
  }

  py::object call(const py::args& arguments) {
    if (arguments.size() != inputs_.size())
      raise_error(Code::invalid_argument, "the model has " + std::to_string(inputs_.size()) + " inputs" +
                                              list_names(prepared_->model().inputs) + "; got " +
                                              std::to_string(arguments.size()) + " arrays");
    const CallLoan call(this);
    for (std::size_t i = 0; i < inputs_.size(); ++i) call->inputs.push_back(checked_input(i, arguments[i]));
    execute(py::none(), call.get());
    if (call->results.size() == 1) return call->results[0];
    return py::tuple(py::cast(call->results));
  }

  /// (per planned node a description, nanoseconds [runs, nodes])
  py::tuple profile(const py::dict& feeds, int runs) {
    if (runs < 1) raise_error(Code::invalid_argument, "profile: runs must be at least 1");
    const CallLoan call(this);
    named_inputs(feeds, &call->inputs);
    given_outputs(py::none(), &call->given);
    const std::unique_lock lock = acquire();
    bind(call.get());
    const std::size_t nodes = session_->plan()->nodes.size();
    py::array_t<u64> times({static_cast<std::size_t>(runs), nodes});
    u64* row = times.mutable_data();
    std::memset(row, 0, static_cast<std::size_t>(times.nbytes()));
    {
      const GilRelease release;
      session_->run(call->in, call->out);
      for (int i = 0; i < runs; ++i, row += nodes) session_->run(call->in, call->out, {row, nodes});
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
  /// What Python calls an input or output.
  struct Port {
    const Tensor* tensor;
    py::str name;
    py::dtype dtype;
  };

  /// What a run reads and writes.
  struct Call {
    std::vector<py::array> inputs;  // kept alive
    std::vector<Shape> shapes;      // of the inputs
    std::vector<py::object> given;  // for each output the caller's array, or null
    std::vector<py::array> results;
    std::vector<const std::byte*> in;
    std::vector<std::byte*> out;
    void clear() { inputs.clear(), shapes.clear(), given.clear(), results.clear(), in.clear(), out.clear(); }
  };

  /// A Call for a scope: the session's own, so that vectors need not grow again, or a new one while that is in use. The
  /// GIL guards the loan.
  class CallLoan {
   public:
    explicit CallLoan(PySession* session) : session_(session), call_(std::move(session->spare_)) {
      if (!call_) call_ = std::make_unique<Call>();
    }
    ~CallLoan() {
      call_->clear();
      session_->spare_ = std::move(call_);
    }
    CallLoan(const CallLoan&) = delete;
    CallLoan& operator=(const CallLoan&) = delete;
    Call* get() const { return call_.get(); }
    Call* operator->() const { return call_.get(); }

   private:
    PySession* session_;
    std::unique_ptr<Call> call_;
  };

  Port port(int index) const { return {&tensor(index), py::str(tensor(index).name), numpy_dtype(tensor(index).dtype)}; }

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
      const s64 packed = static_cast<s64>(prepared_->packed_bytes(*planned.node));
      s64 bytes = packed;  // in place of the constants that they are made of
      for (int input : planned.node->inputs)
        bytes += input < 0 || (packed > 0 && tensor(input).is_constant()) ? 0 : plan.tensor_bytes(m, input);
      for (int output : planned.node->outputs) bytes += output < 0 ? 0 : plan.tensor_bytes(m, output);
      py::dict item;
      item["name"] = planned.node->name;
      item["op"] = op_name(planned.node->op);
      item["kernel"] = planned.op->kernel();
      item["reason"] = planned.op->reason();
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

  static bool has_dtype(const py::array& array, const py::dtype& dtype) {
    const py::dtype own = array.dtype();
    return own.is(dtype) || own.equal(dtype);
  }

  py::array checked_input(std::size_t index, const py::handle& value) const {
    const Port& input = inputs_[index];
    const std::string& name = input.tensor->name;
    if (!py::isinstance<py::array>(value))
      raise_error(Code::invalid_argument, "input '" + name + "' must be a numpy array; got " +
                                              py::str(py::type::of(value).attr("__name__")).cast<std::string>());
    py::array array = py::reinterpret_borrow<py::array>(value);
    if (!has_dtype(array, input.dtype))
      raise_error(Code::invalid_argument, "input '" + name + "' must be " + py::str(input.dtype).cast<std::string>() +
                                              "; got " + describe(array) + " (convert it with .astype())");
    if (array.ndim() > Shape::kMaxRank) raise_error(Code::shape, "input '" + name + "': got " + describe(array));
    if (is_plain(array)) return array;
    return py::array::ensure(array.attr("copy")("C"), py::array::c_style);
  }

  /// The value of a key, or null.
  static py::handle find(const py::dict& dict, const py::str& key) {
    PyObject* value = PyDict_GetItemWithError(dict.ptr(), key.ptr());
    if (!value && PyErr_Occurred()) throw py::error_already_set();
    return value;
  }

  void named_inputs(const py::dict& feeds, std::vector<py::array>* arrays) const {
    const std::vector<int>& inputs = prepared_->model().inputs;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      const py::handle value = find(feeds, inputs_[i].name);
      if (!value)
        raise_error(Code::invalid_argument,
                    "input '" + inputs_[i].tensor->name + "' is missing; the model's inputs are" + list_names(inputs));
      // Its own reference: a copy made for it may run code that changes the dict.
      arrays->push_back(checked_input(i, py::reinterpret_borrow<py::object>(value)));
    }
    if (feeds.size() == inputs_.size()) return;
    for (const auto& [key, value] : feeds) {
      const std::string name = py::str(key);
      bool known = false;
      for (int input : inputs) known |= tensor(input).name == name;
      if (!known)
        raise_error(Code::invalid_argument,
                    "the model has no input named '" + name + "'; its inputs are" + list_names(inputs));
    }
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
  void given_outputs(const py::object& out, std::vector<py::object>* given) const {
    given->resize(outputs_.size());
    if (out.is_none()) return;
    if (!py::isinstance<py::dict>(out))
      raise_error(Code::invalid_argument, "out must be a dict of output name -> array");
    const py::dict arrays = py::reinterpret_borrow<py::dict>(out);
    std::size_t found = 0;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const py::handle value = find(arrays, outputs_[i].name);
      if (!value) continue;
      if (!py::isinstance<py::array>(value))
        raise_error(Code::invalid_argument, "out['" + outputs_[i].tensor->name + "'] must be a numpy array");
      (*given)[i] = py::reinterpret_borrow<py::object>(value);
      ++found;
    }
    if (found == arrays.size()) return;
    for (const auto& [key, value] : arrays) {
      output_index(py::str(key));
      if (!py::isinstance<py::str>(key)) raise_error(Code::invalid_argument, "out: the names of outputs must be str");
    }
  }

  py::array result_array(std::size_t index, const py::object& given) const {
    const Shape& shape = session_->plan()->shapes[static_cast<std::size_t>(output_tensors_[index])];
    const Port& output = outputs_[index];
    if (!given) return py::array(output.dtype, std::vector<py::ssize_t>(shape.begin(), shape.end()));
    py::array array = py::reinterpret_borrow<py::array>(given);
    const auto refuse = [&](Code code, const std::string& problem) {
      raise_error(code, "out['" + output.tensor->name + "']" + problem);
    };
    const auto wanted = [&] {
      return " must be " + py::str(output.dtype).cast<std::string>() + " " + shape.text() + "; got " + describe(array);
    };
    if (!has_dtype(array, output.dtype)) refuse(Code::invalid_argument, wanted());
    if (array.ndim() > Shape::kMaxRank || !(shape_of(array) == shape)) refuse(Code::shape, wanted());
    if (!is_plain(array)) refuse(Code::invalid_argument, " must be C-contiguous and aligned");
    if (!array.writeable()) refuse(Code::invalid_argument, " is read-only");
    return array;
  }

  /// Plans for the shapes of the inputs and finds or makes the arrays of the outputs. The caller holds the lock.
  void bind(Call* call) {
    for (const py::array& array : call->inputs) {
      call->shapes.push_back(shape_of(array));
      call->in.push_back(static_cast<const std::byte*>(array.data()));
    }
    if (!session_->is_planned_for(call->shapes)) {
      Status prepared;
      {
        const GilRelease release;
        prepared = session_->prepare(call->shapes);
      }
      raise_if_error(prepared);
    }
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      py::array result = result_array(i, call->given[i]);
      if (call->given[i]) check_apart(result, outputs_[i].tensor->name, call->inputs, call->results);
      call->out.push_back(static_cast<std::byte*>(result.mutable_data()));
      call->results.push_back(std::move(result));
    }
  }

  void execute(const py::object& out, Call* call) {
    given_outputs(out, &call->given);
    std::unique_lock lock = acquire();
    bind(call);
    const GilRelease release;
    session_->run(call->in, call->out);
    lock.unlock();  // before the GIL is taken back
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
  std::vector<Port> inputs_, outputs_;
  std::unique_ptr<Call> spare_;
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
      .def("constant", &PyModel::constant, py::arg("name"))
      .def("nodes", &PyModel::nodes)
      .def_property_readonly("has_sparse_weights", &PyModel::has_sparse_weights)
      .def_property_readonly("has_coded_weights", &PyModel::has_coded_weights)
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

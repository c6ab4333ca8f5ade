// The Python module engine._native; engine/_native.pyi documents it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "network.h"

namespace nb = nanobind;
using namespace musicnn;

namespace {

template <int Dimensions>
using In = nb::ndarray<const float, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
template <int Dimensions>
using Out = nb::ndarray<nb::numpy, float, nb::ndim<Dimensions>>;

template <int Dimensions>
Out<Dimensions> array(std::initializer_list<size_t> shape, float*& values) {
    size_t size = 1;
    for (const size_t length : shape) size *= length;
    values = new float[size];
    nb::capsule owner(values, [](void* pointer) noexcept { delete[] static_cast<float*>(pointer); });
    return Out<Dimensions>(values, shape, owner);
}

Affine affine(const In<2>& weight, const In<1>& bias) {
    return {static_cast<int>(weight.shape(0)), static_cast<int>(weight.shape(1)),
            {weight.data(), weight.data() + weight.size()}, {bias.data(), bias.data() + bias.size()}};
}

Affine affine(const nb::handle& pair) {
    return affine(nb::cast<In<2>>(pair[0]), nb::cast<In<1>>(pair[1]));
}

Direction direction(const nb::handle& pair) { return {affine(pair[0]), affine(pair[1])}; }

void make_network(Network* self, const std::string& cell, int cells, const nb::object& front,
                  const nb::sequence& layers, const nb::object& out, const std::string& name) {
    std::vector<Layer> made;
    for (const nb::handle layer : layers) made.push_back({direction(layer[0]), direction(layer[1])});
    new (self) Network(cell, cells, front.is_none() ? Affine{} : affine(front), made, affine(out), kernels(name));
}

nb::tuple window(const Network& network, const In<3>& input, int commit, const In<2>& before) {
    const size_t voices = input.shape(0), frames = input.shape(1);
    if (voices == 0 || commit < 1 || static_cast<size_t>(commit) > frames ||
        input.shape(2) != static_cast<size_t>(network.features()) || before.shape(0) != voices ||
        before.shape(1) != static_cast<size_t>(network.states()))
        throw std::invalid_argument("a window's input or states do not have the network's sizes");
    float *output, *after;
    const auto outputs =
        array<3>({voices, static_cast<size_t>(commit), static_cast<size_t>(network.outputs())}, output);
    const auto states = array<3>({voices, static_cast<size_t>(commit), static_cast<size_t>(network.states())}, after);
    {
        nb::gil_scoped_release unlocked;
        network.window(input.data(), static_cast<int>(voices), static_cast<int>(frames), commit, before.data(), output,
                       after);
    }
    return nb::make_tuple(outputs, states);
}

}  // namespace

NB_MODULE(_native, module) {
    module.def("kernel_names", &kernel_names);
    nb::class_<Network>(module, "Network")
        .def("__init__", &make_network, nb::arg("cell"), nb::arg("cells"), nb::arg("front").none(), nb::arg("layers"),
             nb::arg("out"), nb::arg("kernels") = "")
        .def_prop_ro("states", &Network::states)
        .def("window", &window, nb::arg("input"), nb::arg("commit"), nb::arg("before"));
}

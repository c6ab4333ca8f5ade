// The Python module engine._native; engine/_native.pyi documents it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <complex>
#include <memory>
#include <optional>
#include <stdexcept>

#include "bank.h"
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
    return {static_cast<int>(weight.shape(0)),
            static_cast<int>(weight.shape(1)),
            {weight.data(), weight.data() + weight.size()},
            {bias.data(), bias.data() + bias.size()}};
}

Affine affine(const nb::handle& pair) { return affine(nb::cast<In<2>>(pair[0]), nb::cast<In<1>>(pair[1])); }

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

template <typename T, typename Array>
std::vector<T> numbers(const Array& array) {
    return {array.data(), array.data() + array.size()};
}

template <typename T, int Dimensions>
using Table = nb::ndarray<const T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;

// Real parts (0) or imaginary parts (1).
std::vector<float> parts(const Table<std::complex<float>, 3>& values, int which) {
    std::vector<float> out;
    for (size_t i = 0; i < values.size(); ++i) out.push_back(which ? values.data()[i].imag() : values.data()[i].real());
    return out;
}

std::shared_ptr<Tables> plain_tables(int first_key, const Table<double, 2>& hz, const Table<float, 2>& harmonic,
                                     const Table<std::complex<float>, 3>& reference, const Table<float, 3>& noise,
                                     const std::optional<Table<double, 1>>& voicing, double exponent) {
    auto made = std::make_shared<PlainTables>();
    made->first_key = first_key;
    made->channels = static_cast<int>(reference.shape(1));
    made->carriers = static_cast<int>(hz.shape(1));
    made->bands = static_cast<int>(noise.shape(2));
    made->hz = numbers<double>(hz);
    made->harmonic = numbers<float>(harmonic);
    made->reference_re = parts(reference, 0);
    made->reference_im = parts(reference, 1);
    made->noise = numbers<float>(noise);
    if (voicing) made->voicing = numbers<double>(*voicing);
    made->exponent = exponent;
    made->prepare();
    return made;
}

std::shared_ptr<Tables> space_tables(const Table<double, 2>& points, const Table<double, 1>& centre,
                                     const Table<double, 2>& axes, const Table<double, 1>& keys,
                                     const Table<double, 3>& hz, const Table<float, 1>& harmonic,
                                     const Table<double, 4>& level, const Table<double, 4>& phase,
                                     const Table<double, 1>& exponents, const Table<double, 4>& noise,
                                     const Table<double, 3>& motion, const Table<double, 2>& voicing) {
    auto made = std::make_shared<SpaceTables>();
    made->timbres = static_cast<int>(points.shape(0));
    made->dims = static_cast<int>(points.shape(1));
    made->anchors = static_cast<int>(keys.shape(0));
    made->channels = static_cast<int>(level.shape(2));
    made->carriers = static_cast<int>(harmonic.shape(0));
    made->bands = static_cast<int>(noise.shape(3));
    made->points = numbers<double>(points);
    made->centre = numbers<double>(centre);
    made->axes = numbers<double>(axes);
    made->keys = numbers<double>(keys);
    made->hz = numbers<double>(hz);
    made->harmonic = numbers<float>(harmonic);
    made->level = numbers<double>(level);
    made->phase = numbers<double>(phase);
    made->exponents = numbers<double>(exponents);
    made->noise = numbers<double>(noise);
    made->motion = numbers<double>(motion);
    made->voicing = numbers<double>(voicing);
    return made;
}

// What both kinds of instruments have.
void begin(Instrument* self, const std::shared_ptr<Network>& network, int context, int sample_rate, int first_key,
           int last_key, int carriers, double power) {
    new (self) Instrument;
    self->network = network;
    self->kernels = &kernels();
    self->context = context;
    self->sample_rate = sample_rate;
    self->first_key = first_key;
    self->last_key = last_key;
    self->carriers = carriers;
    self->exponent = static_cast<float>(1 / power - 1);
}

void make_bins(Instrument* self, const std::shared_ptr<Network>& network, int context, int hop, int sample_rate,
               int oversampling, const Table<float, 1>& window, const Table<float, 1>& filter, int first_key,
               int last_key, int bins, double codec_power, double head_power, const Table<float, 1>& stretch_window) {
    begin(self, network, context, sample_rate, first_key, last_key, bins, head_power);
    auto tables = std::make_shared<PlainTables>();
    tables->first_key = first_key;
    tables->channels = 1;
    tables->carriers = bins;
    tables->hz.resize(bins);
    tables->harmonic.resize(bins);
    tables->reference_re.assign(bins, 1.0f);
    tables->reference_im.resize(bins);
    tables->prepare();
    self->codec = std::make_shared<NnssCodec>(hop, oversampling, numbers<float>(window), numbers<float>(filter), bins,
                                              codec_power);
    self->tables = tables;
    self->band_of_bin.resize(bins);
    self->stretch_window = numbers<float>(stretch_window);
}

using Steps = std::vector<std::pair<int, int>>;

void make_keys(Instrument* self, const std::shared_ptr<Network>& network, const std::shared_ptr<Tables>& tables,
               int context, const Steps& held, const Steps& released, int hop, int sample_rate,
               const Table<float, 1>& window, int first_key, int last_key, int channels, int carriers, double power,
               const Table<int, 1>& band_of_bin, const Table<double, 1>& band_hz, const Table<float, 1>& carrier_factor,
               const std::optional<Table<std::complex<float>, 3>>& noise) {
    begin(self, network, context, sample_rate, first_key, last_key, carriers, power);
    self->codec = std::make_shared<ScoreCodec>(hop, sample_rate, numbers<float>(window));
    self->tables = tables;
    self->grid = {Strides(held), Strides(released)};
    self->channels = channels;
    self->bands = static_cast<int>(band_hz.size());
    self->band_of_bin = numbers<int>(band_of_bin);
    self->band_hz = numbers<float>(band_hz);
    self->carrier_factor = numbers<float>(carrier_factor);
    if (noise) {
        self->noise_re = parts(*noise, 0);
        self->noise_im = parts(*noise, 1);
        self->noise_frames = static_cast<int>(noise->shape(0));
    }
}

struct Voices {
    Voices(const std::shared_ptr<Instrument>& instrument, int rise, int polyphony, int workers)
        : bank(instrument,
               std::make_shared<Partials>(instrument->codec->length(), instrument->codec->hop(),
                                          instrument->sample_rate, rise, *instrument->kernels),
               polyphony, workers) {}
    Bank bank;
};

nb::tuple render(Voices& voices, int samples, int left_in_block) {
    float* out;
    const auto sound = array<2>({2, static_cast<size_t>(samples)}, out);
    std::vector<int> ended;
    {
        nb::gil_scoped_release unlocked;
        ended = voices.bank.render(out, out + samples, samples, left_in_block);
    }
    return nb::make_tuple(sound, ended);
}

void touch(Voices& voices, int channel, float left, float right, double semitones, const std::vector<double>& knobs,
           const std::vector<double>& latent) {
    if (knobs.size() != 12) throw std::invalid_argument("twelve knobs are wanted");
    voices.bank.touch(channel, left, right, semitones,
                      {knobs[0], knobs[1], knobs[2], knobs[3], knobs[4], knobs[5], knobs[6], knobs[7], knobs[8],
                       knobs[9], knobs[10], knobs[11]},
                      latent);
}

nb::object inputs(const Instrument& instrument, int key, double velocity, std::optional<long long> release,
                  const std::vector<int>& frames, const std::vector<double>& latent) {
    float* values;
    const auto out = array<2>({frames.size(), static_cast<size_t>(instrument.network->features())}, values);
    const PointRef point = instrument.point(latent);
    for (size_t i = 0; i < frames.size(); ++i) {
        float* row = values + i * instrument.network->features();
        instrument.codec->frame({key, velocity, release.value_or(Note::kHeld)}, frames[i], row);
        std::copy(point->features.begin(), point->features.end(), row + instrument.codec->features());
    }
    return nb::cast(out);
}

nb::tuple tables(const Instrument& instrument, int key, const std::vector<double>& latent) {
    const KeyTables made = instrument.tables->of_key(key, latent);
    const Motion& motion = made.motion;
    std::vector<double> numbers = {motion.rate, motion.wander, motion.drift, motion.ensemble, motion.spread};
    numbers.insert(numbers.end(), motion.depth.begin(), motion.depth.end());
    return nb::make_tuple(made.hz, made.reference_re, made.reference_im, made.noise, made.exponent, made.voicing_db,
                          numbers);
}

nb::object stretch(int length, int sample_rate, const Table<double, 1>& hz, const In<2>& values) {
    const Partials partials(length, length / 4, sample_rate, 0, kernels());
    Partials::Lobes lobes;
    Partials::Scratch scratch = partials.scratch();
    const int carriers = static_cast<int>(hz.size());
    if (values.shape(0) != 4 || values.shape(1) != hz.size())
        throw std::invalid_argument("four values each are wanted");
    partials.place(hz.data(), carriers, lobes);
    partials.begin(lobes, values.data(), carriers, scratch);
    const std::complex<float>* made = partials.stretch(scratch);
    float* sound;
    const auto out = array<2>({2, static_cast<size_t>(length)}, sound);
    for (int i = 0; i < length; ++i) {
        sound[i] = made[i].real() / static_cast<float>(length);
        sound[length + i] = made[i].imag() / static_cast<float>(length);
    }
    return nb::cast(out);
}

Motion motion_of(const std::vector<double>& n) {
    if (n.size() != 10) throw std::invalid_argument("a motion is ten numbers");
    return {n[0], n[1], n[2], n[3], n[4], {n[5], n[6], n[7], n[8], n[9]}};
}

std::vector<double> motion_cents(const std::vector<double>& numbers, unsigned seed,
                                 const std::vector<double>& seconds) {
    const Motion motion = motion_of(numbers);
    std::vector<double> out;
    for (const double age : seconds) out.push_back(motion.cents(seed, age));
    return out;
}

nb::object motion_crowd(const std::vector<double>& numbers, unsigned seed, const std::vector<double>& seconds,
                        int carriers) {
    const Motion motion = motion_of(numbers);
    const auto count = static_cast<size_t>(carriers);
    float* values;
    const auto out = array<3>({seconds.size(), 2, count}, values);
    for (size_t i = 0; i < seconds.size(); ++i)
        motion.crowd(seed, seconds[i], 1, carriers, values + 2 * i * count, values + (2 * i + 1) * count);
    return nb::cast(out);
}

std::vector<std::tuple<int, int, double, std::optional<long long>, long long>> heard(const Voices& voices) {
    std::vector<std::tuple<int, int, double, std::optional<long long>, long long>> out;
    for (const Bank::Sounding& one : voices.bank.heard())
        out.emplace_back(one.number, one.key, one.velocity,
                         one.release == Note::kHeld ? std::nullopt : std::optional(one.release), one.position);
    return out;
}

}  // namespace

NB_MODULE(_native, module) {
    module.def("kernel_names", &kernel_names);
    nb::class_<Network>(module, "Network")
        .def("__init__", &make_network, nb::arg("cell"), nb::arg("cells"), nb::arg("front").none(), nb::arg("layers"),
             nb::arg("out"), nb::arg("kernels") = "")
        .def_prop_ro("states", &Network::states)
        .def("window", &window, nb::arg("input"), nb::arg("commit"), nb::arg("before"));
    module.def("stretch", &stretch, nb::arg("length"), nb::arg("sample_rate"), nb::arg("hz"), nb::arg("values"));
    module.def("motion_cents", &motion_cents, nb::arg("numbers"), nb::arg("seed"), nb::arg("seconds"));
    module.def("motion_crowd", &motion_crowd, nb::arg("numbers"), nb::arg("seed"), nb::arg("seconds"),
               nb::arg("carriers"));
    nb::class_<Tables>(module, "Tables");
    module.def("plain_tables", &plain_tables, nb::arg("first_key"), nb::arg("hz"), nb::arg("harmonic"),
               nb::arg("reference"), nb::arg("noise"), nb::arg("voicing").none(), nb::arg("exponent"));
    module.def("space_tables", &space_tables, nb::arg("points"), nb::arg("centre"), nb::arg("axes"), nb::arg("keys"),
               nb::arg("hz"), nb::arg("harmonic"), nb::arg("level"), nb::arg("phase"), nb::arg("exponents"),
               nb::arg("noise"), nb::arg("motion"), nb::arg("voicing"));
    nb::class_<Instrument>(module, "Keys")
        .def("__init__", &make_keys, nb::arg("network"), nb::arg("tables"), nb::arg("context"), nb::arg("held"),
             nb::arg("released"), nb::arg("hop"), nb::arg("sample_rate"), nb::arg("window"), nb::arg("first_key"),
             nb::arg("last_key"), nb::arg("channels"), nb::arg("carriers"), nb::arg("power"), nb::arg("band_of_bin"),
             nb::arg("band_hz"), nb::arg("carrier_factor"), nb::arg("noise").none())
        .def("__init__", &make_bins, nb::arg("network"), nb::arg("context"), nb::arg("hop"), nb::arg("sample_rate"),
             nb::arg("oversampling"), nb::arg("window"), nb::arg("filter"), nb::arg("first_key"), nb::arg("last_key"),
             nb::arg("bins"), nb::arg("codec_power"), nb::arg("head_power"), nb::arg("stretch_window"))
        .def("inputs", &inputs, nb::arg("key"), nb::arg("velocity"), nb::arg("release").none(), nb::arg("frames"),
             nb::arg("latent"))
        .def("tables", &tables, nb::arg("key"), nb::arg("latent"));
    nb::class_<Voices>(module, "Voices")
        .def(nb::init<const std::shared_ptr<Instrument>&, int, int, int>(), nb::arg("instrument"), nb::arg("rise"),
             nb::arg("polyphony"), nb::arg("workers"))
        .def("start", [](Voices& v, int number, int key, double velocity,
                         int channel) { return v.bank.start(number, key, velocity, channel); })
        .def("release", [](Voices& v, int number) { v.bank.release(number); })
        .def("silence", [](Voices& v, int number) { v.bank.silence(number); })
        .def("touch", &touch)
        .def("announce", [](Voices& v, int key, double velocity, int channel,
                            long long samples) { v.bank.announce(key, velocity, channel, samples); })
        .def("render", &render, nb::arg("samples"), nb::arg("left_in_block") = 0)
        .def("heard", &heard)
        .def("set_loudest", [](Voices& v, float loudest) { v.bank.set_loudest(loudest); })
        .def_prop_ro("sounding", [](const Voices& v) { return v.bank.sounding(); })
        .def_prop_ro("late", [](const Voices& v) { return v.bank.late(); })
        .def_prop_ro("faulty", [](const Voices& v) { return v.bank.faulty(); })
        .def_prop_ro("prepared", [](const Voices& v) { return v.bank.prepared(); });
}

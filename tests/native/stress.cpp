// Random events on a small instrument, rendered while workers write ahead: built with a sanitizer by `make sanitize`.
//
//     stress SECONDS SEED
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "bank.h"

using namespace musicnn;

namespace {

std::mt19937 chance;

float normal(float size) { return std::normal_distribution<float>(0, size)(chance); }
int whole(int low, int high) { return std::uniform_int_distribution<int>(low, high)(chance); }
double real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(chance); }

Affine affine(int outputs, int inputs, float size) {
    Affine made{outputs, inputs, {}, {}};
    for (int i = 0; i < outputs * inputs; ++i)
        made.weight.push_back(normal(size / std::sqrt(static_cast<float>(inputs))));
    for (int i = 0; i < outputs; ++i) made.bias.push_back(normal(0.1f));
    return made;
}

std::shared_ptr<const Instrument> instrument() {
    constexpr int kLength = 256, kHop = 64, kFront = 8, kCells = 6, kCarriers = 5, kBands = 3, kKeys = 20, kDims = 2;
    auto made = std::make_shared<Instrument>();
    const int features = kLength + 2 + kDims, width = 2 * kCells, outputs = 2 * 2 * kCarriers + 2 * kBands;
    std::vector<Layer> layers;
    for (int layer = 0; layer < 2; ++layer) {
        const int inputs = layer ? 2 * width : kFront;
        const auto direction = [&] { return Direction{affine(5 * kCells, inputs, 1), affine(5 * kCells, width, 1)}; };
        layers.push_back({direction(), direction()});
    }
    made->network = std::make_shared<Network>("complex_lstm", kCells, affine(kFront, features, 1), layers,
                                              affine(outputs, 2 * width, 2), kernels());
    std::vector<float> window;
    for (int i = 0; i < kLength; ++i)
        window.push_back(static_cast<float>(0.5 - 0.5 * std::cos(2 * M_PI * i / kLength)));
    made->codec = std::make_shared<ScoreCodec>(kHop, 44100, window);
    auto tables = std::make_shared<SpaceTables>();
    tables->timbres = 3;
    tables->dims = kDims;
    tables->anchors = 2;
    tables->channels = 2;
    tables->carriers = kCarriers;
    tables->bands = kBands;
    tables->keys = {50, 50 + kKeys - 1};
    tables->centre = {0, 0};
    tables->axes = {1, 0, 0, 1};
    for (int i = 0; i < 3 * kDims; ++i) tables->points.push_back(normal(1));
    for (int i = 0; i < kCarriers; ++i) tables->harmonic.push_back(static_cast<float>(i < 4 ? i + 1 : 0));
    for (int i = 0; i < 3 * 2; ++i) {
        for (int carrier = 0; carrier < kCarriers; ++carrier) tables->hz.push_back(150 * (carrier + 1) + normal(1));
        for (int j = 0; j < 2 * kCarriers; ++j) tables->level.push_back(real(0.01, 0.05));
        for (int j = 0; j < 2 * kCarriers; ++j) tables->phase.push_back(real(-3, 3));
        for (int j = 0; j < 2 * kBands; ++j) tables->noise.push_back(real(0.001, 0.01));
        for (const double number : {5.0, 0.1, 1.0, 0.3, 2.0, 1.0, 5.0, 10.0, 10.0, 10.0})
            tables->motion.push_back(number);
        tables->voicing.push_back(real(-3, 3));
    }
    tables->exponents = {1, 2, 1.5};
    made->tables = tables;
    made->kernels = &kernels();
    made->grid = {Strides({{8, 2}, {24, 4}}), Strides({{6, 2}, {12, 4}})};
    made->context = 4;
    made->first_key = 50;
    made->last_key = 50 + kKeys - 1;
    made->channels = 2;
    made->carriers = kCarriers;
    made->bands = kBands;
    made->exponent = 1.5;
    made->carrier_factor.assign(kBands, 1.0f);
    made->band_hz = {500, 3000, 12000};
    for (int bin = 0; bin <= kLength / 2; ++bin) made->band_of_bin.push_back(std::min(2, bin / 40));
    made->noise_frames = 16;
    for (int i = 0; i < 16 * 2 * (kLength / 2 + 1); ++i) {
        made->noise_re.push_back(normal(1));
        made->noise_im.push_back(normal(1));
    }
    return made;
}

}  // namespace

int main(int, char** arguments) {
    const double seconds = std::atof(arguments[1]);
    chance.seed(static_cast<unsigned>(std::atoi(arguments[2])));
    const auto made = instrument();
    const auto partials = std::make_shared<Partials>(256, 64, 44100, 16, *made->kernels);
    const auto begin = std::chrono::steady_clock::now();
    long long blocks = 0, started = 0;
    const auto left = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < seconds;
    };
    while (left()) {
        Bank bank(made, partials, whole(2, 24), 3);
        std::vector<float> sound(2 * 2048);
        int number = 0;
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(whole(100, 3000));
        while (std::chrono::steady_clock::now() < until && left()) {
            for (int event = whole(-2, 4); event > 0; --event) switch (whole(0, 6)) {
                    case 0:
                    case 1:
                        bank.start(number++, whole(40, 80), real(1, 127), whole(0, 2));
                        ++started;
                        break;
                    case 2: bank.release(whole(std::max(0, number - 12), number)); break;
                    case 3: bank.silence(whole(std::max(0, number - 12), number)); break;
                    case 4: bank.announce(whole(40, 80), real(1, 127), whole(0, 2), whole(0, 2000)); break;
                    default: {
                        Knobs knobs;
                        knobs.brightness = real(-6, 6);
                        knobs.ensemble = whole(0, 1);
                        std::vector<double> latent;
                        if (whole(0, 1)) latent = {real(-2, 2), real(-2, 2)};
                        bank.touch(whole(0, 2), 1, 1, real(-2, 2), knobs, latent);
                    }
                }
            const int samples = whole(1, 9) == 1 ? whole(0, 2048) : 64;
            (void)bank.render(sound.data(), sound.data() + 2048, samples, samples);
            for (int i = 0; i < samples; ++i)
                if (!std::isfinite(sound[i]) || !std::isfinite(sound[2048 + i])) {
                    std::puts("a sample is no number");
                    return 1;
                }
            ++blocks;
            if (whole(0, 20) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(whole(1, 5)));
        }
    }
    std::printf("%lld blocks, %lld notes\n", blocks, started);
    return 0;
}

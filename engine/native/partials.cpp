#include "partials.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace musicnn {

Partials::Partials(int length, int hop, int sample_rate, int rise, const Kernels& kernels)
    : length_(length),
      hop_(hop),
      sample_rate_(sample_rate),
      stride_(length / 2 + 1 + 2 * kMargin),
      kernels_(&kernels),
      inverse_(length) {
    for (int i = 0; i < rise; ++i)
        onset_.push_back(static_cast<float>((1 - std::cos(std::numbers::pi * i / rise)) / 2));
    // Hann squared over 3/2 is a sum of five cosines; each transforms to a Dirichlet kernel around its own bin.
    constexpr double kCosines[5][2] = {{0, 3.0 / 8}, {1, 1.0 / 4}, {-1, 1.0 / 4}, {2, 1.0 / 16}, {-2, 1.0 / 16}};
    for (int step = 0; step <= (kReach + 1) * kSteps; ++step) {
        double sum = 0;
        for (const auto& [bin, weight] : kCosines) {
            const double angle = std::numbers::pi * (static_cast<double>(step) / kSteps - bin + 1e-12);
            sum += weight / 1.5 * std::sin(angle) / std::tan(angle / length);
        }
        lobe_.push_back(static_cast<float>(sum));
    }
}

Partials::Scratch Partials::scratch() const {
    return {std::vector<float>(static_cast<size_t>(4) * stride_), std::vector<std::complex<float>>(length_),
            std::vector<std::complex<float>>(length_)};
}

void Partials::place(const double* hz, int carriers, Lobes& lobes) const {
    lobes.first.resize(carriers);
    lobes.taps.resize(static_cast<size_t>(carriers) * kTaps);
    for (int carrier = 0; carrier < carriers; ++carrier) {
        const double position = hz[carrier] * length_ / sample_rate_;
        if (!(position > 0) || position >= bins() - 1) {
            lobes.first[carrier] = -1;
            continue;
        }
        const int first = static_cast<int>(position) - kReach + 1;
        lobes.first[carrier] = first + kMargin;
        float* taps = lobes.taps.data() + static_cast<size_t>(carrier) * kTaps;
        for (int tap = 0; tap < kTaps; ++tap) {
            const double distance = std::abs(first + tap - position) * kSteps;
            const int step = static_cast<int>(distance);
            const auto share = static_cast<float>(distance - step);
            const float value = lobe_[step] * (1 - share) + lobe_[step + 1] * share;
            taps[tap] = (first + tap) & 1 ? -0.5f * value : 0.5f * value;  // the frame's middle, not its begin, is 0
        }
    }
}

void Partials::begin(const Lobes& lobes, const float* values, int carriers, Scratch& scratch) const {
    std::fill(scratch.spectra.begin(), scratch.spectra.end(), 0.0f);
    for (int carrier = 0; carrier < carriers; ++carrier) {
        if (lobes.first[carrier] < 0) continue;
        const float four[4] = {values[carrier], values[carriers + carrier], values[2 * carriers + carrier],
                               values[3 * carriers + carrier]};
        kernels_->add_lobe(scratch.spectra.data() + lobes.first[carrier], stride_,
                           lobes.taps.data() + static_cast<size_t>(carrier) * kTaps, four);
    }
    // What reaches over the ends is the mirror image of the carriers at negative frequencies.
    const int last = bins() - 1;
    for (int which = 0; which < 4; ++which) {
        float* spectrum = this->spectrum(scratch, which);
        const float sign = which & 1 ? -1.0f : 1.0f;
        for (int bin = 0; bin <= std::min(kReach, last); ++bin) {
            const float below = spectrum[-bin], above = spectrum[last + bin];
            spectrum[bin] += sign * below;
            spectrum[last - bin] += sign * above;
        }
    }
}

const std::complex<float>* Partials::stretch(Scratch& scratch) const {
    inverse_.inverse(spectrum(scratch, 0), spectrum(scratch, 1), spectrum(scratch, 2), spectrum(scratch, 3),
                     scratch.in.data(), scratch.out.data());
    return scratch.out.data();
}

}  // namespace musicnn

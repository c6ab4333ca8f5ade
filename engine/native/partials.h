// From envelopes to sound: each carrier is the lobe of the synthesis window, turned by its envelope; an inverse
// transform makes a stretch of sound of them. engine/partials.py defines it.
#pragma once

#include <complex>
#include <vector>

#include "fourier.h"
#include "kernels.h"

namespace musicnn {

class Partials {
  public:
    // Where carriers lie in the spectrum.
    struct Lobes {
        std::vector<int> first;   // tap 0's place in a padded spectrum; -1 for a carrier that is silent
        std::vector<float> taps;  // (carriers, kTaps)
    };

    // Four planar spectra, of the left real and imaginary, the right real and imaginary, padded for lobes that reach
    // over the ends; and what the transform needs.
    struct Scratch {
        std::vector<float> spectra;
        std::vector<std::complex<float>> in, out;
    };

    Partials(int length, int hop, int sample_rate, int rise, const Kernels& kernels);

    int length() const { return length_; }
    int hop() const { return hop_; }
    int bins() const { return length_ / 2 + 1; }
    int sample_rate() const { return sample_rate_; }
    double centre(int frame) const { return (frame + 1.0) * hop_ - length_ / 2; }
    float onset_gain(long long sample) const {
        return sample < 0 ? 0.0f : sample < static_cast<long long>(onset_.size()) ? onset_[sample] : 1.0f;
    }
    long long rise() const { return static_cast<long long>(onset_.size()); }

    Scratch scratch() const;
    void place(const double* hz, int carriers, Lobes& lobes) const;

    // Begin a frame with its carriers, whose values for the four spectra are (4, carriers).
    void begin(const Lobes& lobes, const float* values, int carriers, Scratch& scratch) const;
    // The spectrum `which` of the four, to add other things to: bins() numbers.
    float* spectrum(Scratch& scratch, int which) const { return scratch.spectra.data() + which * stride_ + kMargin; }
    // The stretch that it sounds like: its real parts are the left side, its imaginary parts the right side.
    const std::complex<float>* stretch(Scratch& scratch) const;

  private:
    static constexpr int kReach = kTaps / 2, kSteps = 256, kMargin = kTaps;

    int length_, hop_, sample_rate_, stride_;
    const Kernels* kernels_;
    PairInverse inverse_;
    std::vector<float> onset_, lobe_;
};

}  // namespace musicnn

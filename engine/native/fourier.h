// Transforms of real signals, by KISS FFT.
#pragma once

#include <complex>
#include <vector>

#include "third_party/kissfft/kissfft.hh"

namespace musicnn {

// Spectrum (size / 2 + 1) of a real signal (size, even). Never allocates.
class RealTransform {
  public:
    explicit RealTransform(int size);

    int size() const { return size_; }
    void forward(const float* samples, std::complex<float>* scratch, float* re, float* im) const;

  private:
    int size_;
    kissfft<float> half_;
    std::vector<std::complex<float>> turns_;
};

// Two real signals (size) of two spectra at once, each as planar re and im (size / 2 + 1). Never allocates.
class PairInverse {
  public:
    explicit PairInverse(int size) : size_(size), whole_(static_cast<size_t>(size), true) {}

    // in, out: scratch, (size). After it out holds the first signal as real, the second as imaginary parts.
    void inverse(const float* re, const float* im, const float* other_re, const float* other_im,
                 std::complex<float>* in, std::complex<float>* out) const;

  private:
    int size_;
    kissfft<float> whole_;
};

}  // namespace musicnn

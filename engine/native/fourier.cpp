#include "fourier.h"

#include <cmath>
#include <numbers>

namespace musicnn {

RealTransform::RealTransform(int size) : size_(size), half_(static_cast<size_t>(size / 2), false) {
    for (int k = 0; k <= size / 2; ++k)
        turns_.push_back(std::complex<float>(std::polar(1.0, -2 * std::numbers::pi * k / size)));
}

void RealTransform::forward(const float* samples, std::complex<float>* scratch, float* re, float* im) const {
    const int half = size_ / 2;
    half_.transform(reinterpret_cast<const std::complex<float>*>(samples), scratch);
    for (int k = 0; k <= half; ++k) {
        // Even samples were the real parts, odd ones the imaginary parts.
        const std::complex<float> z = scratch[k % half], mirrored = std::conj(scratch[(half - k) % half]);
        const std::complex<float> even = 0.5f * (z + mirrored), odd = 0.5f * (z - mirrored);
        re[k] = even.real() + turns_[k].real() * odd.imag() + turns_[k].imag() * odd.real();
        im[k] = even.imag() + turns_[k].imag() * odd.imag() - turns_[k].real() * odd.real();
    }
}

void PairInverse::inverse(const float* re, const float* im, const float* other_re, const float* other_im,
                          std::complex<float>* in, std::complex<float>* out) const {
    const int half = size_ / 2;
    in[0] = {re[0], other_re[0]};
    in[half] = {re[half], other_re[half]};
    for (int k = 1; k < half; ++k) {
        in[k] = {re[k] - other_im[k], im[k] + other_re[k]};
        in[size_ - k] = {re[k] + other_im[k], other_re[k] - im[k]};
    }
    whole_.transform(in, out);
}

}  // namespace musicnn

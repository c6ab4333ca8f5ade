// The kernels themselves, compiled once for each kind of processor: MUSICNN_KERNELS names them, MUSICNN_WIDTH is the
// number of floats in a vector register.
#include <cmath>

#include "approximations.h"
#include "kernels.h"

namespace musicnn {
namespace {

typedef float Vector __attribute__((vector_size(4 * MUSICNN_WIDTH), aligned(4), may_alias));

constexpr int kColumns = 2 * MUSICNN_WIDTH;  // of a panel
constexpr int kRows = 6;                     // with 2 registers each they fill what there is

// R rows times P panels, sums held in registers.
template <int R, int P>
void tile(const float* __restrict packed, long inputs, const float* __restrict in, long in_stride,
          float* __restrict out, long out_stride) {
    constexpr int kVectors = 2 * P;
    Vector sum[R][kVectors];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
            sum[r][v] = *reinterpret_cast<const Vector*>(out + r * out_stride + v * MUSICNN_WIDTH);
    for (long k = 0; k < inputs; ++k, packed += kColumns) {
        Vector weights[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
            weights[v] =
                *reinterpret_cast<const Vector*>(packed + (v / 2) * inputs * kColumns + (v % 2) * MUSICNN_WIDTH);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
            const float x = in[r * in_stride + k];
#pragma GCC unroll 8
            for (int v = 0; v < kVectors; ++v) sum[r][v] += x * weights[v];
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v)
            *reinterpret_cast<Vector*>(out + r * out_stride + v * MUSICNN_WIDTH) = sum[r][v];
}

// All panels, P at a time, for R rows.
template <int R, int P>
void rows_of(const float* packed, int inputs, int panels, const float* in, int in_stride, float* out, int out_stride) {
    int panel = 0;
    for (; panel + P <= panels; panel += P)
        tile<R, P>(packed + static_cast<long>(panel) * inputs * kColumns, inputs, in, in_stride, out + panel * kColumns,
                   out_stride);
    for (; panel < panels; ++panel)
        tile<R, 1>(packed + static_cast<long>(panel) * inputs * kColumns, inputs, in, in_stride, out + panel * kColumns,
                   out_stride);
}

void multiply(const float* packed, int inputs, int panels, const float* in, int in_stride, float* out, int out_stride,
              int rows) {
    const int whole = rows / kRows * kRows;
    if (whole)
        for (int panel = 0; panel < panels; ++panel)  // a panel stays in the cache for all rows
            for (int row = 0; row < whole; row += kRows)
                tile<kRows, 1>(packed + static_cast<long>(panel) * inputs * kColumns, inputs,
                               in + static_cast<long>(row) * in_stride, in_stride,
                               out + static_cast<long>(row) * out_stride + panel * kColumns, out_stride);
    in += static_cast<long>(whole) * in_stride;
    out += static_cast<long>(whole) * out_stride;
    switch (rows - whole) {
        case 1: rows_of<1, 4>(packed, inputs, panels, in, in_stride, out, out_stride); break;
        case 2: rows_of<2, 2>(packed, inputs, panels, in, in_stride, out, out_stride); break;
        case 3: rows_of<3, 2>(packed, inputs, panels, in, in_stride, out, out_stride); break;
        case 4: rows_of<4, 1>(packed, inputs, panels, in, in_stride, out, out_stride); break;
        case 5: rows_of<5, 1>(packed, inputs, panels, in, in_stride, out, out_stride); break;
        default: break;
    }
}

void tanh_of(float* __restrict values, int count) {
    for (int i = 0; i < count; ++i) values[i] = hyperbolic_tangent(values[i]);
}

void expand(const float* __restrict raw, const float* __restrict reference_re, const float* __restrict reference_im,
            float exponent, float gain, float* __restrict re, float* __restrict im, int count) {
    for (int i = 0; i < count; ++i) {
        const float x = raw[2 * i], y = raw[2 * i + 1];
        const float size = std::sqrt(x * x + y * y) + 1e-9f;
        const float scale = gain * exponential(exponent * logarithm(size));
        re[i] = scale * (x * reference_re[i] - y * reference_im[i]);
        im[i] = scale * (x * reference_im[i] + y * reference_re[i]);
    }
}

void turn(const double* __restrict phases, const float* __restrict lengths, float* __restrict re, float* __restrict im,
          int count) {
    for (int i = 0; i < count; ++i) {
        float a, b;
        unit(static_cast<float>(phases[i] - std::floor(phases[i] + 0.5)), a, b);
        re[i] = lengths[i] * a;
        im[i] = lengths[i] * b;
    }
}

void add_lobe(float* __restrict spectra, int stride, const float* __restrict taps, const float* __restrict values) {
    for (int spectrum = 0; spectrum < 4; ++spectrum) {
        const float value = values[spectrum];
        float* __restrict out = spectra + spectrum * stride;
        for (int tap = 0; tap < kTaps; ++tap) out[tap] += value * taps[tap];
    }
}

float magnitude(const float* __restrict re, const float* __restrict im, int count) {
    float sums[8] = {};
    int i = 0;
    for (; i + 8 <= count; i += 8)
        for (int lane = 0; lane < 8; ++lane)
            sums[lane] += std::sqrt(re[i + lane] * re[i + lane] + im[i + lane] * im[i + lane]);
    float sum = 0;
    for (; i < count; ++i) sum += std::sqrt(re[i] * re[i] + im[i] * im[i]);
    for (const float one : sums) sum += one;
    return sum;
}

// IEEE 754 half precision by integers, for values within its range: rounded to nearest, small ones kept as subnormals.
void to_half(const float* __restrict from, unsigned short* __restrict to, int count) {
    for (int i = 0; i < count; ++i) {
        float value = from[i];
        value = value > 65504.0f ? 65504.0f : value;
        value = value < -65504.0f ? -65504.0f : value;
        const uint32_t bits = std::bit_cast<uint32_t>(value), sign = bits & 0x80000000u;
        const float size = std::bit_cast<float>(bits ^ sign);
        const uint32_t subnormal = std::bit_cast<uint32_t>(size + 0.5f) - 0x3f000000u;  // the addition rounds
        const uint32_t whole = bits ^ sign;
        const uint32_t normal = (whole + 0xc8000fffu + ((whole >> 13) & 1)) >> 13;
        const uint32_t half = whole < 0x38800000u ? subnormal : normal;
        to[i] = static_cast<unsigned short>(half | sign >> 16);
    }
}

void from_half(const unsigned short* __restrict from, float* __restrict to, int count) {
    for (int i = 0; i < count; ++i) {
        const uint32_t half = from[i], sign = (half & 0x8000u) << 16;
        const float size = std::bit_cast<float>((half & 0x7fffu) << 13) * 0x1p112f;  // exact, subnormals included
        to[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(size) | sign);
    }
}

void lstm(const float* __restrict total, float* __restrict h, float* __restrict c, int cells) {
    const float *in = total, *forget = total + cells, *cell = total + 2 * cells, *out = total + 3 * cells;
    for (int i = 0; i < cells; ++i) {
        c[i] = sigmoid(forget[i]) * c[i] + sigmoid(in[i]) * hyperbolic_tangent(cell[i]);
        h[i] = sigmoid(out[i]) * hyperbolic_tangent(c[i]);
    }
}

void complex_lstm(const float* __restrict total, float* __restrict h, float* __restrict c, int cells) {
    const float *in = total, *forget = total + cells, *out = total + 2 * cells;
    const float *re = total + 3 * cells, *im = total + 4 * cells;
    for (int i = 0; i < cells; ++i) {
        const float enters = sigmoid(in[i]) / std::sqrt(1.0f + re[i] * re[i] + im[i] * im[i]);
        const float kept = sigmoid(forget[i]);
        const float real = kept * c[i] + enters * re[i], imaginary = kept * c[cells + i] + enters * im[i];
        const float leaves = sigmoid(out[i]) / std::sqrt(1.0f + real * real + imaginary * imaginary);
        c[i] = real;
        c[cells + i] = imaginary;
        h[i] = leaves * real;
        h[cells + i] = leaves * imaginary;
    }
}

void gru(const float* __restrict shares, const float* __restrict ours, float* __restrict h, int cells) {
    for (int i = 0; i < cells; ++i) {
        const float reset = sigmoid(shares[i] + ours[i]);
        const float update = sigmoid(shares[cells + i] + ours[cells + i]);
        const float fresh = hyperbolic_tangent(shares[2 * cells + i] + reset * ours[2 * cells + i]);
        h[i] = fresh + update * (h[i] - fresh);
    }
}

void complex_gru(const float* __restrict shares, const float* __restrict ours, float* __restrict h, int cells) {
    for (int i = 0; i < cells; ++i) {
        const float reset = sigmoid(shares[i] + ours[i]);
        const float update = sigmoid(shares[cells + i] + ours[cells + i]);
        const float re = shares[2 * cells + i] + reset * ours[2 * cells + i];
        const float im = shares[3 * cells + i] + reset * ours[3 * cells + i];
        const float bounded = (1.0f - update) / std::sqrt(1.0f + re * re + im * im);
        h[i] = update * h[i] + bounded * re;
        h[cells + i] = update * h[cells + i] + bounded * im;
    }
}

}  // namespace

extern const Kernels MUSICNN_KERNELS;
const Kernels MUSICNN_KERNELS = {MUSICNN_NAME, kColumns, multiply,  tanh_of, expand,       turn, add_lobe,
                                 magnitude,    to_half,  from_half, lstm,    complex_lstm, gru,  complex_gru};

}  // namespace musicnn

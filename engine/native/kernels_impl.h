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
            weights[v] = *reinterpret_cast<const Vector*>(packed + (v / 2) * inputs * kColumns +
                                                          (v % 2) * MUSICNN_WIDTH);
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
        tile<R, P>(packed + static_cast<long>(panel) * inputs * kColumns, inputs, in, in_stride,
                   out + panel * kColumns, out_stride);
    for (; panel < panels; ++panel)
        tile<R, 1>(packed + static_cast<long>(panel) * inputs * kColumns, inputs, in, in_stride,
                   out + panel * kColumns, out_stride);
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
const Kernels MUSICNN_KERNELS = {MUSICNN_NAME, kColumns, multiply, tanh_of, lstm, complex_lstm, gru, complex_gru};

}  // namespace musicnn

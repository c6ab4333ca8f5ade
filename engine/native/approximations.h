// Elementary functions without branches, to about 1e-7: loops over them become vector code. Coefficients: Cephes.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace musicnn {
namespace {

inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float whole = std::floor(x * 1.44269504f + 0.5f);
    x = x - whole * 0.693359375f;
    x = x - whole * -2.12194440e-4f;
    float y = 1.9875691500e-4f;
    y = y * x + 1.3981999507e-3f;
    y = y * x + 8.3334519073e-3f;
    y = y * x + 4.1665795894e-2f;
    y = y * x + 1.6666665459e-1f;
    y = y * x + 5.0000001201e-1f;
    y = y * x * x + x + 1.0f;
    return y * std::bit_cast<float>((static_cast<int32_t>(whole) + 127) << 23);
}

// Of a positive normal number.
inline float logarithm(float x) {
    const int32_t bits = std::bit_cast<int32_t>(x) - 0x3f3504f3;  // so that the mantissa lies around 1
    const auto exponent = static_cast<float>(bits >> 23);
    x = std::bit_cast<float>((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    float y = 7.0376836292e-2f;
    y = y * x - 1.1514610310e-1f;
    y = y * x + 1.1676998740e-1f;
    y = y * x - 1.2420140846e-1f;
    y = y * x + 1.4249322787e-1f;
    y = y * x - 1.6668057665e-1f;
    y = y * x + 2.0000714765e-1f;
    y = y * x - 2.4999993993e-1f;
    y = y * x + 3.3333331174e-1f;
    y = y * x * x * x + exponent * -2.12194440e-4f - 0.5f * x * x;
    return x + y + exponent * 0.693359375f;
}

inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

inline float hyperbolic_tangent(float x) { return 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f); }

// e^(2 pi i turns), turns within -1/2 .. 1/2.
inline void unit(float turns, float& re, float& im) {
    // By quarters: the sine and cosine of what is left, exchanged and negated as the quarter wants it.
    const float quarter = std::floor(turns * 4.0f + 0.5f);
    const float x = (turns - quarter * 0.25f) * 6.28318530718f, square = x * x;
    const float s = x + x * square * (-1.6666654611e-1f + square * (8.3321608736e-3f - square * 1.9515295891e-4f));
    const float c =
        1.0f - 0.5f * square +
        square * square * (4.166664568298827e-2f + square * (-1.388731625493765e-3f + square * 2.443315711809948e-5f));
    const auto q = static_cast<int32_t>(quarter);
    const float a = q & 1 ? s : c, b = q & 1 ? c : s;
    re = (q + 1) & 2 ? -a : a;
    im = q & 2 ? -b : b;
}

}  // namespace
}  // namespace musicnn

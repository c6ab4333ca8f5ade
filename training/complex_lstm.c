/* One frame of `engine.networks.complex_cells.ComplexLSTM`, all but the matrix products, forwards and backwards.
 *
 * Rows of `batch` voices, n cells each: gates (5n) holds i, f, o and z as re, im; states (2n) hold re, im.
 * Compiled by `training.fast_cells` for the processor that fits.
 */
#include <math.h>

#define MOST 40.0f /* -ffast-math makes 1 / inf a NaN */

/* phi(z) = s z with s = 1 / sqrt(1 + |z|^2); ds/d|z|^2 = -s^3 / 2. */
static inline float slope(float re, float im) { return 1.0f / sqrtf(1.0f + re * re + im * im); }

/* gates: totals in, activations out (z stays as it is). before: the memory; memory, output: written. */
void forward(float *gates, const float *before, float *memory, float *output, int batch, int n) {
  for (int row = 0; row < batch; row++) {
    float *g = gates + (long)row * 5 * n, *c = memory + (long)row * 2 * n, *h = output + (long)row * 2 * n;
    const float *p = before + (long)row * 2 * n;
    for (int j = 0; j < 3 * n; j++) g[j] = 1.0f / (1.0f + expf(fminf(-g[j], MOST)));
    for (int j = 0; j < n; j++) {
      float x = g[3 * n + j], y = g[4 * n + j], f = g[n + j], in = g[j] * slope(x, y);
      float re = f * p[j] + in * x, im = f * p[n + j] + in * y, out = g[2 * n + j] * slope(re, im);
      c[j] = re, c[n + j] = im, h[j] = out * re, h[n + j] = out * im;
    }
  }
}

/* gates: activations of the frame. of_output, of_later: gradients of the output, from above and from the next frame.
 * of_memory: gradient of this frame's memory in, of the one before it out. of_gates: gradient of the totals, written. */
void backward(const float *gates, const float *before, const float *memory, const float *of_output,
              const float *of_later, float *of_memory, float *of_gates, int batch, int n) {
  for (int row = 0; row < batch; row++) {
    const float *g = gates + (long)row * 5 * n, *p = before + (long)row * 2 * n, *c = memory + (long)row * 2 * n;
    const float *a = of_output + (long)row * 2 * n, *b = of_later + (long)row * 2 * n;
    float *dc = of_memory + (long)row * 2 * n, *d = of_gates + (long)row * 5 * n;
    for (int j = 0; j < n; j++) {
      float i = g[j], f = g[n + j], o = g[2 * n + j], x = g[3 * n + j], y = g[4 * n + j];
      float re = c[j], im = c[n + j], hx = a[j] + b[j], hy = a[n + j] + b[n + j];
      float s = slope(re, im), dot = re * hx + im * hy, k = -s * s * s * dot;
      d[2 * n + j] = dot * s * o * (1.0f - o);
      float cx = dc[j] + o * (s * hx + k * re), cy = dc[n + j] + o * (s * hy + k * im);
      float t = slope(x, y), along = x * cx + y * cy, l = -t * t * t * along;
      d[j] = along * t * i * (1.0f - i);
      d[n + j] = (p[j] * cx + p[n + j] * cy) * f * (1.0f - f);
      d[3 * n + j] = i * (t * cx + l * x), d[4 * n + j] = i * (t * cy + l * y);
      dc[j] = f * cx, dc[n + j] = f * cy;
    }
  }
}

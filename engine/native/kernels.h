// The arithmetic that costs time, for every kind of processor.
//
// Includes nothing: this is compiled for processors that not everybody has, and what the standard library inlines there
// must not be linked into the rest.
#pragma once

namespace musicnn {

// One frame of one direction of a recurrent layer for one voice. All arrays are padded; padding stays 0 in the state.
// shares: what the frame's input contributes to each block, biases included. ours: what the state contributes (GRU:
// with its own bias; LSTM: the sum with shares). h, c: the state, which is replaced.
using LstmStep = void (*)(const float* total, float* h, float* c, int cells);
using GruStep = void (*)(const float* shares, const float* ours, float* h, int cells);

constexpr int kTaps = 24;  // bins that a carrier's lobe covers

struct Kernels {
    const char* name;
    int panel;  // columns of a panel of a packed matrix

    // out (rows, panels * panel) += in (rows, inputs) * packed: a sum's order does not depend on the number of rows.
    void (*multiply)(const float* packed, int inputs, int panels, const float* in, int in_stride, float* out,
                     int out_stride, int rows);
    void (*tanh)(float* values, int count);

    // Undo the compression of the network's output (count, re and im): z |z|^exponent times gain and a reference.
    void (*expand)(const float* raw, const float* reference_re, const float* reference_im, float exponent, float gain,
                   float* re, float* im, int count);
    // Numbers (count) of a length and a phase in turns.
    void (*turn)(const double* phases, const float* lengths, float* re, float* im, int count);
    // Add taps (kTaps) times each of four values to four spectra, `stride` floats apart.
    void (*add_lobe)(float* spectra, int stride, const float* taps, const float* values);
    // Sum of the magnitudes of complex numbers.
    float (*magnitude)(const float* re, const float* im, int count);
    void (*to_half)(const float* from, unsigned short* to, int count);
    void (*from_half)(const unsigned short* from, float* to, int count);
    LstmStep lstm, complex_lstm;
    GruStep gru, complex_gru;
};

}  // namespace musicnn

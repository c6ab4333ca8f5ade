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

struct Kernels {
    const char* name;
    int panel;  // columns of a panel of a packed matrix

    // out (rows, panels * panel) += in (rows, inputs) * packed: a sum's order does not depend on the number of rows.
    void (*multiply)(const float* packed, int inputs, int panels, const float* in, int in_stride, float* out,
                     int out_stride, int rows);
    void (*tanh)(float* values, int count);
    LstmStep lstm, complex_lstm;
    GruStep gru, complex_gru;
};

}  // namespace musicnn

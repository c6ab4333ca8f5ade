// The instrument's network: a layer with tanh, bidirectional recurrent layers, a linear output.
//
// engine/networks/spectral.py and recurrent.py define it; see there for windows, commit and context.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "packed.h"

namespace musicnn {

// A matrix (outputs, inputs), row by row, and what is added to its product.
struct Affine {
    int outputs = 0, inputs = 0;
    std::vector<float> weight, bias;
};

// One direction of one layer. Both matrices write the same blocks, each with one number for each cell: the gates, then
// the cell's new value, in the order of the definition. An LSTM adds the two, so its recurrent bias may be 0.
struct Direction {
    Affine input, recurrent;
};

struct Layer {
    Direction ahead, back;
};

class Network {
  public:
    // cell: lstm, gru, complex_lstm or complex_gru. front: without outputs where there is no such layer. Throws
    // std::invalid_argument where the cell is unknown or sizes do not fit each other.
    Network(const std::string& cell, int cells, const Affine& front, const std::vector<Layer>& layers,
            const Affine& out, const Kernels& kernels);

    int features() const { return features_; }
    int outputs() const { return outputs_; }
    int states() const { return static_cast<int>(layers_.size()) * layer_states(); }  // numbers in a voice's state

    // The next window of some voices. input: (voices, frames, features), of which `commit` frames will be heard.
    // before: states (voices, states()), of each layer h and, of an LSTM, c. Fills output (voices, commit, outputs) and
    // after (voices, commit, states()), the states after each frame. What a voice gets does not depend on the others.
    // Any number of threads may call it.
    void window(const float* input, int voices, int frames, int commit, const float* before, float* output,
                float* after) const;

  private:
    struct Kind {
        bool lstm;          // has c, and adds the state's share to the frame's
        int blocks, parts;  // of a frame's total, of h
    };
    struct PackedDirection {
        Packed input, recurrent;
        std::vector<float> input_bias, recurrent_bias;  // as wide as their matrices
    };
    struct Scratch;

    static Kind kind_of(const std::string& cell);
    PackedDirection pack(const Direction& direction, int inputs, bool first, const Kernels& kernels) const;
    int layer_states() const { return (kind_.lstm ? 2 : 1) * kind_.parts * cells_; }
    int width() const { return kind_.parts * block_; }  // of one direction's output
    void step(const PackedDirection& direction, Scratch& scratch, float* shares, int voices) const;
    void take_states(Scratch& scratch, const float* before, int layer, int voices) const;
    void give_states(const Scratch& scratch, float* after, int layer, int voices, int frame, int commit) const;

    Kind kind_;
    const Kernels* kernels_;
    int cells_, block_;  // cells, and padded
    int features_ = 0, outputs_ = 0;
    Packed front_, out_;
    std::vector<float> front_bias_, out_bias_;
    LstmStep lstm_ = nullptr;
    GruStep gru_ = nullptr;
    std::vector<std::pair<PackedDirection, PackedDirection>> layers_;
};

}  // namespace musicnn

#include "network.h"

#include <algorithm>
#include <stdexcept>

namespace musicnn {

// Arrays of one call, kept for the next one of the same thread.
struct Network::Scratch {
    std::vector<float> x, y, ahead, back, ours, h, c;

    static float* sized(std::vector<float>& array, size_t size) {
        if (array.size() < size) array.resize(size);
        return array.data();
    }
};

namespace {

void check(const Affine& affine, int outputs, int inputs, const char* what) {
    const size_t size = static_cast<size_t>(outputs) * inputs;
    if (affine.outputs != outputs || affine.inputs != inputs || affine.weight.size() != size ||
        affine.bias.size() != static_cast<size_t>(outputs))
        throw std::invalid_argument(std::string("the network's ") + what + " does not have the size of its neighbours");
}

// Where a matrix's row or column stands when every block of `cells` is padded to `block`.
int place(int index, int cells, int block) { return index / cells * block + index % cells; }

std::vector<float> spread(const std::vector<float>& values, int rows, int columns, int cells, int block, bool wide) {
    const int row_size = wide ? columns / cells * block : columns;
    std::vector<float> out(static_cast<size_t>(rows / cells) * block * row_size);
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column)
            out[static_cast<size_t>(place(row, cells, block)) * row_size +
                (wide ? place(column, cells, block) : column)] = values[static_cast<size_t>(row) * columns + column];
    return out;
}

// Rows that all hold the same numbers.
void fill(float* out, const std::vector<float>& row, size_t rows) {
    for (size_t i = 0; i < rows; ++i) std::copy(row.begin(), row.end(), out + i * row.size());
}

}  // namespace

Network::Kind Network::kind_of(const std::string& cell) {
    if (cell == "lstm") return {true, 4, 1};
    if (cell == "gru") return {false, 3, 1};
    if (cell == "complex_lstm") return {true, 5, 2};
    if (cell == "complex_gru") return {false, 4, 2};
    throw std::invalid_argument("network cell '" + cell + "' is not one of lstm, gru, complex_lstm, complex_gru");
}

Network::Network(const std::string& cell, int cells, const Affine& front, const std::vector<Layer>& layers,
                 const Affine& out, const Kernels& kernels)
    : kind_(kind_of(cell)), kernels_(&kernels), cells_(cells), block_(padded(cells)) {
    if (cells < 1 || layers.empty()) throw std::invalid_argument("a network has one cell and one layer or more");
    const bool complex = kind_.parts == 2;
    if (kind_.lstm)
        lstm_ = complex ? kernels.complex_lstm : kernels.lstm;
    else
        gru_ = complex ? kernels.complex_gru : kernels.gru;
    int inputs = layers[0].ahead.input.inputs;
    features_ = front.outputs ? front.inputs : inputs;
    if (front.outputs) {
        check(front, inputs, features_, "front");
        front_ = Packed(kernels, front.weight, front.outputs, front.inputs);
        front_bias_ = front.bias;
        front_bias_.resize(front_.columns());
    }
    for (const Layer& layer : layers) {
        const bool first = layers_.empty();
        layers_.emplace_back(pack(layer.ahead, inputs, first, kernels), pack(layer.back, inputs, first, kernels));
        inputs = 2 * kind_.parts * cells;
    }
    outputs_ = out.outputs;
    check(out, outputs_, inputs, "output");
    std::vector<float> weight(static_cast<size_t>(outputs_) * 2 * width());
    for (int row = 0; row < outputs_; ++row)
        for (int column = 0; column < inputs; ++column)
            weight[static_cast<size_t>(row) * 2 * width() + place(column, cells, block_)] =
                out.weight[static_cast<size_t>(row) * inputs + column];
    out_ = Packed(kernels, weight, outputs_, 2 * width());
    out_bias_ = out.bias;
    out_bias_.resize(out_.columns());
}

Network::PackedDirection Network::pack(const Direction& direction, int inputs, bool first,
                                       const Kernels& kernels) const {
    const int outputs = kind_.blocks * cells_, states = kind_.parts * cells_;
    check(direction.input, outputs, inputs, "recurrent layer");
    check(direction.recurrent, outputs, states, "recurrent layer");
    const auto wide = [&](const std::vector<float>& values, int columns, bool blocks) {
        return spread(values, outputs, columns, cells_, block_, blocks);
    };
    PackedDirection packed;
    const int rows = kind_.blocks * block_;
    packed.input =
        Packed(kernels, wide(direction.input.weight, inputs, !first), rows, first ? inputs : inputs / cells_ * block_);
    packed.recurrent = Packed(kernels, wide(direction.recurrent.weight, states, true), rows, width());
    packed.input_bias = wide(direction.input.bias, 1, false);
    packed.recurrent_bias = wide(direction.recurrent.bias, 1, false);
    if (kind_.lstm)
        for (int i = 0; i < rows; ++i) packed.input_bias[i] += packed.recurrent_bias[i];
    packed.input_bias.resize(packed.input.columns());
    packed.recurrent_bias.resize(packed.recurrent.columns());
    return packed;
}

void Network::step(const PackedDirection& direction, Scratch& scratch, float* shares, int voices) const {
    const int stride = direction.recurrent.columns();
    float *h = scratch.h.data(), *c = scratch.c.data();
    if (kind_.lstm) {
        direction.recurrent.multiply(h, width(), shares, stride, voices);
        for (int voice = 0; voice < voices; ++voice)
            lstm_(shares + static_cast<size_t>(voice) * stride, h + voice * width(), c + voice * width(), block_);
        return;
    }
    float* ours = Scratch::sized(scratch.ours, static_cast<size_t>(voices) * stride);
    fill(ours, direction.recurrent_bias, voices);
    direction.recurrent.multiply(h, width(), ours, stride, voices);
    for (int voice = 0; voice < voices; ++voice)
        gru_(shares + static_cast<size_t>(voice) * stride, ours + static_cast<size_t>(voice) * stride,
             h + voice * width(), block_);
}

void Network::take_states(Scratch& scratch, const float* before, int layer, int voices) const {
    const size_t size = static_cast<size_t>(voices) * width();
    float* parts[2] = {Scratch::sized(scratch.h, size), Scratch::sized(scratch.c, size)};
    std::fill_n(parts[0], size, 0.0f);
    std::fill_n(parts[1], size, 0.0f);
    if (!before) return;
    for (int voice = 0; voice < voices; ++voice) {
        const float* from = before + static_cast<size_t>(voice) * states() + layer * layer_states();
        for (int part = 0; part < (kind_.lstm ? 2 : 1); ++part)
            for (int block = 0; block < kind_.parts; ++block, from += cells_)
                std::copy_n(from, cells_, parts[part] + voice * width() + block * block_);
    }
}

void Network::give_states(const Scratch& scratch, float* after, int layer, int voices, int frame, int commit) const {
    const float* parts[2] = {scratch.h.data(), scratch.c.data()};
    for (int voice = 0; voice < voices; ++voice) {
        float* to = after + (static_cast<size_t>(voice) * commit + frame) * states() + layer * layer_states();
        for (int part = 0; part < (kind_.lstm ? 2 : 1); ++part)
            for (int block = 0; block < kind_.parts; ++block, to += cells_)
                std::copy_n(parts[part] + voice * width() + block * block_, cells_, to);
    }
}

void Network::window(const float* input, int voices, int frames, int commit, const float* before, float* output,
                     float* after) const {
    static thread_local Scratch scratch;
    const size_t rows = static_cast<size_t>(frames) * voices;
    int stride = features_;
    float* x = Scratch::sized(scratch.x, rows * std::max(features_, 2 * width()));
    for (int voice = 0; voice < voices; ++voice)  // frame by frame, so that a frame's voices are one matrix
        for (int frame = 0; frame < frames; ++frame)
            std::copy_n(input + (static_cast<size_t>(voice) * frames + frame) * features_, features_,
                        x + (static_cast<size_t>(frame) * voices + voice) * features_);
    if (!front_bias_.empty()) {
        stride = front_.columns();
        float* y = Scratch::sized(scratch.y, rows * std::max(stride, 2 * width()));
        fill(y, front_bias_, rows);
        front_.multiply(x, features_, y, stride, static_cast<int>(rows));
        kernels_->tanh(y, static_cast<int>(rows) * stride);
        std::swap(scratch.x, scratch.y);
    }
    for (size_t layer = 0; layer < layers_.size(); ++layer) {
        const auto& [ahead, back] = layers_[layer];
        const bool last = layer + 1 == layers_.size();
        const int heard = last ? commit : frames;  // the last layer's forward direction has no use for the context
        const int columns = ahead.input.columns();
        const size_t heard_rows = static_cast<size_t>(heard) * voices;
        float* shares = Scratch::sized(scratch.ahead, heard_rows * columns);
        float* shares_back = Scratch::sized(scratch.back, rows * columns);
        fill(shares, ahead.input_bias, heard_rows);
        fill(shares_back, back.input_bias, rows);
        ahead.input.multiply(scratch.x.data(), stride, shares, columns, static_cast<int>(heard_rows));
        back.input.multiply(scratch.x.data(), stride, shares_back, columns, static_cast<int>(rows));
        float* y = Scratch::sized(scratch.y, rows * 2 * width());
        const auto keep = [&](int frame, int side) {
            for (int voice = 0; voice < voices; ++voice)
                std::copy_n(scratch.h.data() + voice * width(), width(),
                            y + (static_cast<size_t>(frame) * voices + voice) * 2 * width() + side * width());
        };
        take_states(scratch, before, static_cast<int>(layer), voices);
        for (int frame = 0; frame < heard; ++frame) {
            step(ahead, scratch, shares + static_cast<size_t>(frame) * voices * columns, voices);
            keep(frame, 0);
            if (frame < commit) give_states(scratch, after, static_cast<int>(layer), voices, frame, commit);
        }
        take_states(scratch, nullptr, static_cast<int>(layer), voices);
        for (int frame = frames - 1; frame >= 0; --frame) {
            step(back, scratch, shares_back + static_cast<size_t>(frame) * voices * columns, voices);
            keep(frame, 1);
        }
        std::swap(scratch.x, scratch.y);
        stride = 2 * width();
    }
    const size_t heard_rows = static_cast<size_t>(commit) * voices;
    float* y = Scratch::sized(scratch.y, heard_rows * out_.columns());
    fill(y, out_bias_, heard_rows);
    out_.multiply(scratch.x.data(), stride, y, out_.columns(), static_cast<int>(heard_rows));
    for (int voice = 0; voice < voices; ++voice)
        for (int frame = 0; frame < commit; ++frame)
            std::copy_n(y + (static_cast<size_t>(frame) * voices + voice) * out_.columns(), outputs_,
                        output + (static_cast<size_t>(voice) * commit + frame) * outputs_);
}

}  // namespace musicnn

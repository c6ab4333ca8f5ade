// A matrix as the kernels want it.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace musicnn {

constexpr int kLanes = 8;  // to a multiple of which vectors are padded

constexpr int padded(int size) { return (size + kLanes - 1) / kLanes * kLanes; }

// The best kernels that this processor has, or those of a name. Throws std::invalid_argument where it has none such.
const Kernels& kernels(const std::string& name = "");

// Names of all kernels that this processor has, the best first.
std::vector<std::string> kernel_names();

// A matrix (outputs, inputs) packed for `multiply`: panel by panel, in each input by input.
class Packed {
  public:
    Packed() = default;
    Packed(const Kernels& kernels, const std::vector<float>& matrix, int outputs, int inputs);

    int inputs() const { return inputs_; }
    int columns() const { return panels_ * kernels_->panel; }  // outputs, padded to whole panels

    // out (rows, columns()) += in (rows, inputs) times the matrix, transposed.
    void multiply(const float* in, int in_stride, float* out, int out_stride, int rows) const {
        kernels_->multiply(values_.data(), inputs_, panels_, in, in_stride, out, out_stride, rows);
    }

  private:
    const Kernels* kernels_ = nullptr;
    int inputs_ = 0, panels_ = 0;
    std::vector<float> values_;
};

}  // namespace musicnn

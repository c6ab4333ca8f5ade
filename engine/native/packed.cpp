#include "packed.h"

#include <stdexcept>

namespace musicnn {

extern const Kernels kBaseKernels;
#if defined(__x86_64__) && !defined(MUSICNN_PLAIN)
extern const Kernels kAvx2Kernels, kAvx512Kernels;
#endif

namespace {

std::vector<const Kernels*> available() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__) && !defined(MUSICNN_PLAIN)
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v4) found.push_back(&kAvx512Kernels);
    if (v3) found.push_back(&kAvx2Kernels);
#endif
    found.push_back(&kBaseKernels);
    return found;
}

}  // namespace

const Kernels& kernels(const std::string& name) {
    for (const Kernels* one : available())
        if (name.empty() || name == one->name) return *one;
    throw std::invalid_argument("this processor has no kernels '" + name + "'");
}

std::vector<std::string> kernel_names() {
    std::vector<std::string> names;
    for (const Kernels* one : available()) names.emplace_back(one->name);
    return names;
}

Packed::Packed(const Kernels& kernels, const std::vector<float>& matrix, int outputs, int inputs)
    : kernels_(&kernels), inputs_(inputs), panels_((outputs + kernels.panel - 1) / kernels.panel) {
    values_.resize(static_cast<size_t>(panels_) * kernels.panel * inputs);
    for (int output = 0; output < outputs; ++output)
        for (int input = 0; input < inputs; ++input) {
            const size_t row = static_cast<size_t>(output / kernels.panel) * inputs + input;
            values_[row * kernels.panel + output % kernels.panel] =
                matrix[static_cast<size_t>(output) * inputs + input];
        }
}

}  // namespace musicnn

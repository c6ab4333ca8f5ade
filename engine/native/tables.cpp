#include "tables.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <numbers>

namespace musicnn {

namespace {

constexpr double kNearness = 4.0, kClose = 1e-6, kFaint = 1e-9;
constexpr double kWanderingHz = 0.7;  // mean rate at which a vibrato's rate and depth wander
constexpr int kWaves = 5;             // sines that make a slow random process

// A reproducible uniform number in 0..1 (splitmix64).
double chance(unsigned seed, unsigned index) {
    unsigned long long x = (static_cast<unsigned long long>(seed) << 32) + (index + 1) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return static_cast<double>((x ^ (x >> 31)) >> 11) * 0x1.0p-53;
}

}  // namespace

bool Motion::swings() const { return std::max(drift, *std::max_element(depth.begin(), depth.end())) > 0; }

double Motion::cents(unsigned seed, double seconds) const {
    const double tau = 2 * std::numbers::pi, size = std::sqrt(2.0 / kWaves);
    double wandered = 0, drifted = 0;  // the integral of the rate's process, and the pitch's own
    for (unsigned wave = 0; wave < kWaves; ++wave) {
        const double hz = kWanderingHz * (0.3 + 1.4 * chance(seed, 4 * wave)), phase = tau * chance(seed, 4 * wave + 1);
        wandered += (std::cos(phase) - std::cos(tau * hz * seconds + phase)) / (tau * hz);
        const double slow = kWanderingHz * (0.3 + 1.4 * chance(seed, 4 * wave + 2));
        drifted += std::sin(tau * (slow * seconds + chance(seed, 4 * wave + 3)));
    }
    double deep = depth[0];
    if (seconds >= kAges.back()) {
        deep = depth.back();
    } else {
        for (size_t i = 1; i < kAges.size(); ++i)
            if (seconds >= kAges[i - 1] && seconds < kAges[i])
                deep = depth[i - 1] + (depth[i] - depth[i - 1]) * (seconds - kAges[i - 1]) / (kAges[i] - kAges[i - 1]);
    }
    const double turns = rate * (seconds + wander * size * wandered) + chance(seed, 4 * kWaves);
    return deep * std::sin(tau * turns) + drift * size * drifted;
}

void Motion::crowd(unsigned seed, double seconds, double strength, int carriers, float* re, float* im) const {
    const double tau = 2 * std::numbers::pi, size = strength * ensemble / std::sqrt(kWaves);
    for (int carrier = 0; carrier < carriers; ++carrier) {
        std::complex<double> sum = 1;
        for (int wave = 0; wave < kWaves; ++wave) {
            const auto index = static_cast<unsigned>(4 * kWaves + 1 + 3 * (carrier * kWaves + wave));
            // Frequencies are normally distributed (Box and Muller).
            const double radius = std::sqrt(-2 * std::log(1 - chance(seed, index)));
            const double hz = spread * radius * std::cos(tau * chance(seed, index + 1));
            sum += std::polar(size, tau * (hz * seconds + chance(seed, index + 2)));
        }
        re[carrier] = static_cast<float>(sum.real());
        im[carrier] = static_cast<float>(sum.imag());
    }
}

void PlainTables::prepare() {
    const size_t keys = hz.size() / carriers;
    for (size_t key = 0; key < keys; ++key)
        harmonics_.emplace_back(harmonic.begin() + key * carriers, harmonic.begin() + (key + 1) * carriers);
}

KeyTables PlainTables::of_key(int key, const std::vector<double>&) const {
    const int keys = static_cast<int>(hz.size()) / carriers;
    const int row = std::clamp(key - first_key, 0, keys - 1);
    const double ratio = std::exp2((key - first_key - row) / 12.0);
    KeyTables made;
    made.hz.assign(hz.begin() + row * carriers, hz.begin() + (row + 1) * carriers);
    for (double& one : made.hz) one *= ratio;
    made.harmonic = &harmonics_[row];
    const int size = channels * carriers;
    made.reference_re.assign(reference_re.begin() + row * size, reference_re.begin() + (row + 1) * size);
    made.reference_im.assign(reference_im.begin() + row * size, reference_im.begin() + (row + 1) * size);
    made.noise.assign(noise.begin() + row * channels * bands, noise.begin() + (row + 1) * channels * bands);
    made.exponent = exponent;
    made.voicing_db = voicing.empty() ? 0 : voicing[row];
    return made;
}

std::vector<double> SpaceTables::place(const std::vector<double>& positions) const {
    std::vector<double> out = centre;
    for (size_t axis = 0; axis < positions.size(); ++axis)
        for (int dim = 0; dim < dims; ++dim) out[dim] += positions[axis] * axes[axis * dims + dim];
    return out;
}

std::vector<float> SpaceTables::point(const std::vector<double>& positions) const {
    const std::vector<double> out = place(positions);
    return {out.begin(), out.end()};
}

std::vector<double> SpaceTables::weights(const std::vector<double>& place) const {
    std::vector<double> distance(timbres);
    for (int timbre = 0; timbre < timbres; ++timbre) {
        double square = 0;
        for (int dim = 0; dim < dims; ++dim) square += std::pow(points[timbre * dims + dim] - place[dim], 2);
        distance[timbre] = std::sqrt(square);
    }
    const double least = *std::min_element(distance.begin(), distance.end());
    double sum = 0;
    for (double& one : distance) {
        one = least < kClose ? (one == least ? 1.0 : 0.0) : std::pow(least / one, kNearness);
        sum += one;
    }
    for (double& one : distance) one /= sum;
    return distance;
}

KeyTables SpaceTables::of_key(int key, const std::vector<double>& positions) const {
    const std::vector<double> share = weights(place(positions));
    // The anchors on either side of the key, and how far it is on the way from the one to the other.
    const int above = static_cast<int>(std::lower_bound(keys.begin(), keys.end(), key) - keys.begin());
    int high = std::clamp(above, 1, std::max(1, anchors - 1));
    const int low = std::max(0, high - 1);
    high = std::min(high, anchors - 1);
    const double way = low == high ? 0.0 : std::clamp((key - keys[low]) / (keys[high] - keys[low]), 0.0, 1.0);
    const int ends[2] = {low, high};
    const double parts[2] = {1 - way, way};

    KeyTables made;
    made.harmonic = &harmonic;
    made.hz.resize(carriers);
    for (int carrier = 0; carrier < carriers; ++carrier) {
        double result = 0;
        bool silent = false;
        for (int end = 0; end < 2; ++end) {
            if (parts[end] == 0) continue;
            double sum = 0, total = 0;
            bool any = false;
            for (int timbre = 0; timbre < timbres; ++timbre) {
                const double one = hz[(static_cast<size_t>(timbre) * anchors + ends[end]) * carriers + carrier];
                if (one <= 0) continue;  // a timbre without this carrier has no say in where it lies
                any = true;
                sum += share[timbre] * std::log(std::max(one, kFaint));
                total += share[timbre];
            }
            silent |= !any;
            const double moved = harmonic[carrier] > 0 ? (key - keys[ends[end]]) * std::numbers::ln2 / 12 : 0.0;
            result += parts[end] * (sum / std::max(total, kFaint) + moved);
        }
        made.hz[carrier] = silent ? 0.0 : std::exp(result);
    }
    for (int channel = 0; channel < channels; ++channel)
        for (int carrier = 0; carrier < carriers; ++carrier) {
            double mean = 0;
            std::complex<double> turn = 0;
            for (int end = 0; end < 2; ++end)
                for (int timbre = 0; timbre < timbres; ++timbre) {
                    const size_t at =
                        ((static_cast<size_t>(timbre) * anchors + ends[end]) * channels + channel) * carriers + carrier;
                    mean += parts[end] * share[timbre] * std::log(std::max(level[at], kFaint));
                    turn += parts[end] * share[timbre] * std::polar(1.0, phase[at]);
                }
            const double size = std::abs(turn);
            const std::complex<double> unit = size > kClose ? turn / size : 1.0;
            made.reference_re.push_back(static_cast<float>(std::exp(mean) * unit.real()));
            made.reference_im.push_back(static_cast<float>(std::exp(mean) * unit.imag()));
        }
    for (int band = 0; band < channels * bands; ++band) {
        double mean = 0;
        for (int end = 0; end < 2; ++end)
            for (int timbre = 0; timbre < timbres; ++timbre)
                mean +=
                    parts[end] * share[timbre] *
                    std::log(std::max(
                        noise[(static_cast<size_t>(timbre) * anchors + ends[end]) * channels * bands + band], kFaint));
        made.noise.push_back(static_cast<float>(std::exp(mean)));
    }
    std::array<double, 10> numbers = {};
    for (int timbre = 0; timbre < timbres; ++timbre) {
        made.exponent += share[timbre] * exponents[timbre];
        for (int end = 0; end < 2; ++end) {
            const size_t at = static_cast<size_t>(timbre) * anchors + ends[end];
            made.voicing_db += parts[end] * share[timbre] * voicing[at];
            for (size_t i = 0; i < numbers.size(); ++i) numbers[i] += parts[end] * share[timbre] * motion[at * 10 + i];
        }
    }
    made.motion = {numbers[0], numbers[1], numbers[2],
                   numbers[3], numbers[4], {numbers[5], numbers[6], numbers[7], numbers[8], numbers[9]}};
    return made;
}

}  // namespace musicnn

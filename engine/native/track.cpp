#include "track.h"

#include <algorithm>
#include <cmath>

namespace musicnn {

namespace {

constexpr float kLowestLogNoise = -7, kHighestLogNoise = 2;
constexpr float kFastestFade = 0.84f;  // a frame: to half in four

void mix(const std::vector<float>& a, const std::vector<float>& b, float share, std::vector<float>& out) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = a[i] + share * (b[i] - a[i]);
}

}  // namespace

void Track::begin(const Instrument& instrument, const Stream* stream, double velocity) {
    instrument_ = &instrument;
    stream_ = stream;
    window_ = nullptr;
    tables_ = nullptr;
    gain_ = static_cast<float>(velocity / 127);
    limit_ = kNoLimit;
    anchored_ = false;
    for (Knot& one : knots_) {
        one.index = -1;
        one.values.resize(instrument);
    }
    anchor_.resize(instrument);
    raw_.resize(instrument.outputs());
}

void Track::set_anchor(const Envelopes& before) {
    anchor_.re = before.re;
    anchor_.im = before.im;
    anchor_.noise = before.noise;
    anchored_ = true;
}

int Track::known() const { return std::min(stream_->written.load(std::memory_order_acquire), limit_); }

void Track::freeze(int frame) {
    const int index = stream_->knots.index(instrument_->grid, frame + 1);  // the first knot after it
    limit_ = std::max(1, std::min(known(), index + 1));
}

bool Track::knows(int frame) const {
    const int count = known();
    return count > 0 && frame <= stream_->knots.frame(instrument_->grid, count - 1);
}

void Track::decode(int index, Envelopes& out) {
    const Instrument& instrument = *instrument_;
    if (!window_ || window_->first > index) window_ = stream_->windows.load(std::memory_order_acquire);
    while (window_->first + window_->count <= index) window_ = window_->next.load(std::memory_order_acquire);
    if (!tables_) {
        tables_ =
            stream_->heard.point->tables[static_cast<size_t>(stream_->heard.note.key)].load(std::memory_order_acquire);
        gain_ = std::pow(gain_, static_cast<float>(tables_->exponent));
    }
    const int outputs = instrument.outputs(), count = instrument.channels * instrument.carriers;
    instrument.kernels->from_half(window_->raw.data() + static_cast<size_t>(index - window_->first) * outputs,
                                  raw_.data(), outputs);
    if (instrument.writes_bins()) {  // real parts, then imaginary parts
        pairs_.resize(outputs);
        for (int i = 0; i < count; ++i) {
            pairs_[2 * i] = raw_[i];
            pairs_[2 * i + 1] = raw_[count + i];
        }
        std::swap(raw_, pairs_);
    }
    instrument.kernels->expand(raw_.data(), tables_->reference_re.data(), tables_->reference_im.data(),
                               instrument.exponent, gain_, out.re.data(), out.im.data(), count);
    if (!instrument.bands || instrument.writes_bins()) return;
    float now = 0, whole = 0;
    std::fill(out.noise.begin(), out.noise.end(), 0.0f);
    for (int channel = 0; channel < instrument.channels; ++channel)
        for (int carrier = 0; carrier < instrument.carriers; ++carrier) {
            const int at = channel * instrument.carriers + carrier;
            const float power = out.re[at] * out.re[at] + out.im[at] * out.im[at];
            out.noise[channel * instrument.bands + tables_->band[carrier]] += power;
            now += power;
            whole += gain_ * gain_ *
                     (tables_->reference_re[at] * tables_->reference_re[at] +
                      tables_->reference_im[at] * tables_->reference_im[at]);
        }
    const float* logs = raw_.data() + 2 * count;
    for (int i = 0; i < instrument.channels * instrument.bands; ++i) {
        const float reference = tables_->noise[i] * gain_;
        const float base = out.noise[i] * instrument.carrier_factor[i % instrument.bands] +
                           reference * reference * now / (whole + 1e-20f);
        out.noise[i] = std::exp(std::clamp(logs[i], kLowestLogNoise, kHighestLogNoise)) * std::sqrt(base);
    }
}

const Track::Knot& Track::knot(int index) {
    for (Knot& one : knots_)
        if (one.index == index) {
            oldest_ = &one == &knots_[0] ? 1 : 0;
            return one;
        }
    Knot& made = knots_[oldest_];
    decode(index, made.values);
    made.index = index;
    oldest_ = 1 - oldest_;
    return made;
}

void Track::at(int frame, Envelopes& out) {
    const Grid& grid = instrument_->grid;
    const Knots& knots = stream_->knots;
    const int count = known();
    const int right = knots.index(grid, frame);  // the first knot that is not before it
    if (right >= count) {
        const int last = knots.frame(grid, count - 1);
        fade(count - 1, frame - last, out);
        return;
    }
    const int right_frame = knots.frame(grid, right);
    if (right_frame <= frame || (right == 0 && !anchored_)) {
        const Knot& one = knot(right);
        out.re = one.values.re;
        out.im = one.values.im;
        out.noise = one.values.noise;
        return;
    }
    const int left_frame = right ? knots.frame(grid, right - 1) : knots.from - 1;
    const Envelopes& left = right ? knot(right - 1).values : anchor_;
    const Envelopes& values = knot(right).values;
    const float share = static_cast<float>(frame - left_frame) / static_cast<float>(right_frame - left_frame);
    mix(left.re, values.re, share, out.re);
    mix(left.im, values.im, share, out.im);
    mix(left.noise, values.noise, share, out.noise);
}

void Track::fade(int last, int frames, Envelopes& out) {
    const Envelopes& values = knot(last).values;
    const Envelopes& before = last ? knot(last - 1).values : values;
    const Knots& knots = stream_->knots;
    const int apart = last ? knots.frame(instrument_->grid, last) - knots.frame(instrument_->grid, last - 1) : 1;
    const float steps = static_cast<float>(frames), each = 1.0f / static_cast<float>(apart);
    const auto faded = [&](float now, float then) {  // of squares
        const float ratio = std::pow(now / (then + 1e-20f), 0.5f * each);
        return std::pow(std::clamp(ratio, kFastestFade, 1.0f), steps);
    };
    for (size_t i = 0; i < out.re.size(); ++i) {
        const float gain = faded(values.re[i] * values.re[i] + values.im[i] * values.im[i],
                                 before.re[i] * before.re[i] + before.im[i] * before.im[i]);
        out.re[i] = gain * values.re[i];
        out.im[i] = gain * values.im[i];
    }
    for (size_t i = 0; i < out.noise.size(); ++i)
        out.noise[i] = values.noise[i] * faded(values.noise[i] * values.noise[i], before.noise[i] * before.noise[i]);
}

}  // namespace musicnn

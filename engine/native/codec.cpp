#include "codec.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "approximations.h"

namespace musicnn {

namespace {

constexpr double kClockHz = 3000.0, kClockHzPerOctave = 215.0, kClockTau = 0.005, kClockSeconds = 60.0;
constexpr float kHeldAmplitude = 0.7f, kReleasedAmplitude = 0.35f;
constexpr float kFloor = 1e-4f;
constexpr double kNnssAmplitude = 1.21, kNnssNotePeriod = 190.5, kNnssClockSeconds = 5, kNnssRate = 44100;
constexpr int kPage = 1 << 12;         // samples
constexpr int kPages = 1 << 10;        // 95 s at 44.1 kHz; what comes later is computed anew
constexpr int kClockFrames = 1 << 14;  // the same at a hop of 256

float sine(double turns) { return static_cast<float>(std::sin(2 * std::numbers::pi * (turns - std::floor(turns)))); }

float loudness(const Note& note) { return static_cast<float>(0.25 + 0.75 * note.velocity / 127); }

}  // namespace

ScoreCodec::ScoreCodec(int hop, int sample_rate, std::vector<float> window)
    : Codec(static_cast<int>(window.size()), hop, static_cast<int>(window.size()) + 2),
      sample_rate_(sample_rate),
      window_(std::move(window)),
      transform_(length_),
      pages_(kPages),
      clock_(kClockFrames),
      keys_(128) {}

ScoreCodec::~ScoreCodec() {
    for (Rows* rows : {&pages_, &clock_, &keys_})
        for (auto& row : *rows) delete[] row.load();
}

double ScoreCodec::clock_phase(long long sample) const {
    const double seconds = static_cast<double>(std::max(sample, 0LL)) / sample_rate_;
    const double t = std::min(seconds, kClockSeconds);
    const double octaves = ((t + kClockTau) * std::log1p(t / kClockTau) - t) / std::numbers::ln2;
    const double last = kClockHz - kClockHzPerOctave * std::log2(1 + kClockSeconds / kClockTau);
    return kClockHz * t - kClockHzPerOctave * octaves + last * (seconds - t);
}

template <typename Fill>
const float* ScoreCodec::row(Rows& rows, size_t index, int size, Fill fill) const {
    if (const float* made = rows[index].load(std::memory_order_acquire)) return made;
    auto* making = new float[size];
    fill(making);
    const std::lock_guard lock(making_);
    if (const float* made = rows[index].load()) {  // another thread was quicker
        delete[] making;
        return made;
    }
    rows[index].store(making, std::memory_order_release);
    return making;
}

const float* ScoreCodec::samples_of_clock(size_t page) const {
    return row(pages_, page, kPage, [&](float* out) {
        for (int i = 0; i < kPage; ++i) out[i] = sine(clock_phase(static_cast<long long>(page) * kPage + i));
    });
}

// The clock sine of a note; silence before the onset.
void ScoreCodec::clock(const Note& note, long long start, int count, float* out) const {
    int done = static_cast<int>(std::clamp(-start, 0LL, static_cast<long long>(count)));
    std::fill_n(out, done, 0.0f);
    while (done < count) {
        const long long n = start + done, page = n / kPage;
        const int some = std::min(count - done, static_cast<int>((page + 1) * kPage - n));
        if (page < kPages)
            std::copy_n(samples_of_clock(static_cast<size_t>(page)) + n % kPage, some, out + done);
        else
            for (int i = 0; i < some; ++i) out[done + i] = sine(clock_phase(n + i));
        done += some;
    }
    const int held = note.release == Note::kHeld
                         ? count
                         : static_cast<int>(std::clamp(note.release - start, 0LL, static_cast<long long>(count)));
    for (int i = 0; i < held; ++i) out[i] *= kHeldAmplitude;
    const auto step = static_cast<float>(1 / (sample_rate_ * kClockTau));
    const auto since = static_cast<float>(start + held - note.release) * step;
    for (int i = 0; i < count - held; ++i) {
        const float octaves = logarithm(1.0f + since + static_cast<float>(i) * step) * 1.44269504f;
        out[held + i] *= kReleasedAmplitude / (1.0f + octaves / 3.0f);
    }
}

void ScoreCodec::signal(const Note& note, long long start, int count, float* out) const {
    clock(note, start, count, out);
    for (int i = 0; i < count; ++i)
        if (start + i >= 0)
            out[i] +=
                loudness(note) * sine(static_cast<double>(note.key) * static_cast<double>((start + i) % hop_) / hop_);
}

void ScoreCodec::transform(float* samples, float* out) const {
    static thread_local std::vector<std::complex<float>> scratch;
    if (scratch.size() < static_cast<size_t>(length_)) scratch.resize(length_);
    for (int i = 0; i < length_; ++i) samples[i] *= window_[i];
    transform_.forward(samples, scratch.data(), out, out + features_ / 2);
}

const float* ScoreCodec::steady_clock(int frame) const {
    return row(clock_, static_cast<size_t>(frame), features_, [&](float* out) {
        std::vector<float> samples(length_);
        clock({}, frame_start(frame), length_, samples.data());
        transform(samples.data(), out);
    });
}

const float* ScoreCodec::steady_key(int key) const {
    return row(keys_, static_cast<size_t>(key), features_, [&](float* out) {
        std::vector<float> samples(length_);
        for (int i = 0; i < length_; ++i)  // a frame ends with a hop
            samples[i] = sine(static_cast<double>(key) * ((i - length_) % hop_ + hop_) / hop_);
        transform(samples.data(), out);
    });
}

void ScoreCodec::frame(const Note& note, int frame, float* out) const {
    static thread_local std::vector<float> samples;
    if (samples.size() < static_cast<size_t>(length_)) samples.resize(length_);
    const long long start = frame_start(frame);
    if (start < 0) {
        signal(note, start, length_, samples.data());
        transform(samples.data(), out);
    } else {  // sines add up, and so do their spectra; that of the note is the same in every frame
        const float* clock_row = nullptr;
        if ((note.release == Note::kHeld || start + length_ <= note.release) && frame < kClockFrames) {
            clock_row = steady_clock(frame);
        } else {
            clock(note, start, length_, samples.data());
            transform(samples.data(), out);
            clock_row = out;
        }
        const float *key_row = steady_key(note.key), gain = loudness(note);
        for (int i = 0; i < features_; ++i) out[i] = gain * key_row[i] + clock_row[i];
    }
    const int bins = features_ / 2;
    for (int bin = 0; bin < bins; ++bin) {
        const float re = out[bin], im = out[bins + bin];
        const float scale = 1.0f / std::sqrt(std::sqrt(re * re + im * im) + kFloor);
        out[bin] = re * scale;
        out[bins + bin] = im * scale;
    }
}

NnssCodec::NnssCodec(int hop, int oversampling, std::vector<float> window, std::vector<float> filter, int bins,
                     double power)
    : Codec(static_cast<int>(window.size()) / oversampling, hop / oversampling, 2 * bins),
      oversampling_(oversampling),
      bins_(bins),
      power_(static_cast<float>(power)),
      window_(std::move(window)),
      filter_(std::move(filter)),
      transform_(static_cast<int>(window_.size())) {}

float NnssCodec::signal(const Note& note, long long sample) const {
    if (sample < 0 || (note.release != Note::kHeld && sample >= note.release)) return 0;
    const auto n = static_cast<double>(sample);
    const double clock = std::sin(std::numbers::pi * n * (1 - n / (kNnssClockSeconds * kNnssRate)));
    const double pitch = std::sin(std::numbers::pi * n * note.key / kNnssNotePeriod);
    return static_cast<float>(std::min(kNnssAmplitude * (clock + pitch), 1.0));
}

void NnssCodec::frame(const Note& note, int frame, float* out) const {
    static thread_local std::vector<float> plain, fine, spectrum;
    static thread_local std::vector<std::complex<float>> scratch;
    const int size = static_cast<int>(window_.size()), reach = static_cast<int>(filter_.size()) / 2;
    const int margin = reach / oversampling_ + 1;
    plain.resize(length_ + 2 * margin);
    fine.assign(size, 0.0f);
    spectrum.resize(size + 2);
    scratch.resize(size);
    for (int i = 0; i < length_ + 2 * margin; ++i) {
        plain[i] = signal(note, frame_start(frame) - margin + i);
        if (plain[i] == 0) continue;
        const int middle = (i - margin) * oversampling_;
        const int first = std::max(middle - reach, 0), last = std::min(middle + reach, size - 1);
        for (int at = first; at <= last; ++at) fine[at] += plain[i] * filter_[at - middle + reach];
    }
    for (int i = 0; i < size; ++i) fine[i] *= window_[i];
    transform_.forward(fine.data(), scratch.data(), spectrum.data(), spectrum.data() + size / 2 + 1);
    for (int bin = 0; bin < bins_; ++bin) {
        const float re = spectrum[bin], im = spectrum[size / 2 + 1 + bin];
        const float scale = std::pow(std::max(std::sqrt(re * re + im * im), 1e-30f), power_ - 1);
        out[bin] = re * scale;
        out[bins_ + bin] = im * scale;
    }
}

}  // namespace musicnn

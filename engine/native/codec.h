// What the network hears of a note: spectrum frames of the two-sine signal; engine/codec.py defines them.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "fourier.h"

namespace musicnn {

struct Note {
    static constexpr long long kHeld = -1;

    int key = 60;
    double velocity = 64;
    long long release = kHeld;  // samples since the note-on
};

class Codec {
  public:
    virtual ~Codec() = default;

    int hop() const { return hop_; }
    int length() const { return length_; }      // samples of a frame's window
    int features() const { return features_; }  // numbers of a frame
    int first_frame_of(long long sample) const { return static_cast<int>(sample > 0 ? sample / hop_ : 0); }
    long long frame_start(int frame) const { return (frame + 1LL) * hop_ - length_; }

    // Network input of one frame, features() numbers. Any number of threads may call it.
    virtual void frame(const Note& note, int frame, float* out) const = 0;

  protected:
    Codec(int length, int hop, int features) : length_(length), hop_(hop), features_(features) {}

    int length_, hop_, features_;
};

// ScoreCodec of engine/codec.py.
class ScoreCodec final : public Codec {
  public:
    // window: of the analysis, so that a sine of amplitude 1 peaks at 1, `length` numbers.
    ScoreCodec(int hop, int sample_rate, std::vector<float> window);
    ~ScoreCodec() override;

    void frame(const Note& note, int frame, float* out) const override;

    // The two sines from a sample since the note-on on; silence before it.
    void signal(const Note& note, long long start, int count, float* out) const;

  private:
    using Rows = std::vector<std::atomic<float*>>;

    double clock_phase(long long sample) const;  // in turns
    void clock(const Note& note, long long start, int count, float* out) const;
    void transform(float* samples, float* out) const;
    template <typename Fill>
    const float* row(Rows& rows, size_t index, int size, Fill fill) const;
    const float* samples_of_clock(size_t page) const;
    const float* steady_clock(int frame) const;
    const float* steady_key(int key) const;

    double sample_rate_;
    std::vector<float> window_;
    RealTransform transform_;
    mutable std::mutex making_;
    mutable Rows pages_, clock_, keys_;  // made when they are needed: the clock sine, its spectra by age, those of keys
};

// NnssCodec of engine/codec.py: two sines of one note, oversampled, whatever its velocity.
class NnssCodec final : public Codec {
  public:
    // hop: at the oversampled rate, as the window. filter: impulse response of the oversampling, odd, its middle in the
    // middle. bins: of the spectrum, from 0 Hz up; power: of their magnitudes.
    NnssCodec(int hop, int oversampling, std::vector<float> window, std::vector<float> filter, int bins, double power);

    void frame(const Note& note, int frame, float* out) const override;

  private:
    float signal(const Note& note, long long sample) const;

    int oversampling_, bins_;
    float power_;
    std::vector<float> window_, filter_;
    RealTransform transform_;
};

}  // namespace musicnn

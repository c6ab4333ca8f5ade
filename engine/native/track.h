// What one voice reads of a stream: envelopes at every frame, by lines between the knots.
#pragma once

#include <vector>

#include "stream.h"

namespace musicnn {

// Of one frame: complex (channels, carriers), and levels of noise (channels, bands).
struct Envelopes {
    std::vector<float> re, im, noise;

    void resize(const Instrument& instrument) {
        re.resize(static_cast<size_t>(instrument.channels) * instrument.carriers);
        im.resize(re.size());
        noise.resize(static_cast<size_t>(instrument.channels) * instrument.bands);
    }
};

class Track {
  public:
    // Read a stream from its beginning on; velocity: as the note sounds. Never allocates after the first time.
    void begin(const Instrument& instrument, const Stream* stream, double velocity);
    // What was heard at the frame before the stream's first: lines to its first knot begin there.
    void set_anchor(const Envelopes& before);
    // Know nothing beyond a frame from now on, whatever is written.
    void freeze(int frame);

    bool frozen() const { return limit_ != kNoLimit; }

    const Stream* stream() const { return stream_; }
    bool knows(int frame) const;
    // The envelopes at a frame; what is not known yet fades as the last knots did.
    void at(int frame, Envelopes& out);

  private:
    struct Knot {
        int index = -1;
        Envelopes values;
    };

    int known() const;  // knots
    const Knot& knot(int index);
    void decode(int index, Envelopes& out);
    void fade(int last, int frames, Envelopes& out);

    const Instrument* instrument_ = nullptr;
    const Stream* stream_ = nullptr;
    const Window* window_ = nullptr;
    const KeyTables* tables_ = nullptr;
    float gain_ = 1;
    static constexpr int kNoLimit = 1 << 30;
    int limit_ = kNoLimit;  // knots that count
    bool anchored_ = false;
    Envelopes anchor_;
    Knot knots_[2];
    int oldest_ = 0;  // of the two
    std::vector<float> raw_, pairs_;
};

}  // namespace musicnn

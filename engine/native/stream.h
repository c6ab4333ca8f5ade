// What the network says of a note, window by window, and who may read it while it is written.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "codec.h"
#include "grid.h"
#include "network.h"
#include "tables.h"

namespace musicnn {

// Where the latent knobs stand, and the tables of the keys there, made when they are needed.
struct Point {
    explicit Point(std::vector<double> where) : positions(std::move(where)), tables(128) {}
    ~Point() {
        for (auto& one : tables) delete one.load();
    }
    Point(const Point&) = delete;
    Point& operator=(const Point&) = delete;

    std::vector<double> positions;
    std::vector<float> features;  // what the network hears of it
    std::vector<std::atomic<const KeyTables*>> tables;
};

using PointRef = std::shared_ptr<Point>;

// What the network hears of a note.
struct Heard {
    Note note;
    PointRef point;
};

// What the network wrote for some knots; never changed once it is published.
struct Window {
    int first = 0, count = 0;            // its knots
    std::vector<unsigned short> raw;     // (count, outputs), half precision
    std::vector<unsigned short> states;  // after each knot, (count, states), half precision
    std::vector<float> last;             // after the last knot
    std::atomic<Window*> next{nullptr};
};

// One future of a note. Whoever has claimed it may write; anyone may read the windows that are published.
struct Stream {
    Heard heard;
    Knots knots;
    // Where it branches off from: of an onset nothing.
    Stream* parent = nullptr;
    Heard before;  // what the network heard until then

    std::atomic<bool> claimed{false};
    std::atomic<int> written{0};  // knots
    std::atomic<int> known{-1};   // the last frame of them
    std::atomic<Window*> windows{nullptr};
    std::atomic<int> users{0};  // voices that share it; -1 while it is shortened

    // Of the one who has claimed it.
    Window* newest = nullptr;
    int window_count = 0;
    std::vector<float> origin;  // states before its first knot

    bool claim() { return !claimed.exchange(true, std::memory_order_acquire); }
    void release() { claimed.store(false, std::memory_order_release); }
    // Begin to use it together with others; not possible while it is shortened.
    bool use() {
        int before = users.load(std::memory_order_relaxed);
        while (before >= 0)
            if (users.compare_exchange_weak(before, before + 1, std::memory_order_acquire)) return true;
        return false;
    }
    void leave() { users.fetch_sub(1, std::memory_order_release); }
    bool begun() const { return written.load(std::memory_order_acquire) > 0; }
    void clear();  // call with the stream claimed and nobody reading
    // Forget all but the first window, unless somebody uses or writes it.
    void shorten(const Grid& grid);
    ~Stream() { clear(); }
};

// What all voices of an instrument share, never changed.
struct Instrument {
    std::shared_ptr<const Network> network;
    std::shared_ptr<const Codec> codec;
    std::shared_ptr<const Tables> tables;
    const Kernels* kernels = nullptr;
    Grid grid;
    static constexpr int kBeginning = 16;  // knots of a note's first window

    int sample_rate = 44100, context = 8, first_key = 0, last_key = 127;
    int channels = 1, carriers = 0, bands = 0;  // of the head
    float exponent = 1;                         // that undoes the compression: 1 / power - 1
    // Where the network writes the spectrum itself: bins that are its carriers, on one channel; and the window that a
    // frame is multiplied by before it is added to the sound. Nothing else is known of the keys then.
    std::vector<float> stretch_window;
    bool writes_bins() const { return !stretch_window.empty(); }
    std::vector<int> band_of_bin;           // (bins)
    std::vector<float> band_hz;             // (bands), mean frequency
    std::vector<float> carrier_factor;      // (bands), power of the noise that is as strong as one carrier
    std::vector<float> noise_re, noise_im;  // (frames, channels, bins): white noise under the synthesis window
    int noise_frames = 0;

    int outputs() const { return network->outputs(); }
    // Knots of the next window of a stream.
    static int window_size(const Stream& stream) {
        return stream.window_count + (stream.parent ? 1 : 0) < 2 ? kBeginning : 2 * kBeginning;
    }
    const KeyTables& tables_of(const Heard& heard) const;
    PointRef point(const std::vector<double>& positions) const;

    // Write the next windows of some streams, claimed by the caller, all of one size. A branch's parent has to be
    // written up to the frame before the branch.
    void write(const std::vector<Stream*>& streams) const;

  private:
    void input(const Stream& stream, int knot, float* out) const;
    void state_before(const Stream& stream, float* out) const;
};

}  // namespace musicnn

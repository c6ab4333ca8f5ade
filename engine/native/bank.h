// The sounding notes of one keyed instrument.
//
// Time in a voice is counted in samples since its note-on and in frames anchored there. A held note's future is known
// until an event changes it, so the network writes it some knots at a time, ahead of the sound; how it is cut into
// windows depends on the note's own events alone, so live and offline rendering give the same sound. A release, or a
// knob that the network hears, makes another future (a branch), which is heard a constant time after its event: what
// the network has for it. Where frames have begun that sound otherwise by it, the sound is led over.
//
// One thread renders and calls everything else; workers write what is needed next. They share nothing but atomics:
// the renderer never waits.
#pragma once

#include <array>
#include <chrono>
#include <cmath>
#include <deque>
#include <memory>
#include <mutex>
#include <semaphore>
#include <thread>
#include <vector>

#include "partials.h"
#include "track.h"

namespace musicnn {

struct Knobs {
    double brightness = 0, odd_even = 0, stretch = 0, body = 0, breath = 1, vibrato = 1, ensemble = 0, voicing = 1,
           attack = 0, decay = 0, width = 1, tune = 0;
};

// How a channel sounds.
struct Touch {
    float left = 1, right = 1;
    double semitones = 0;
    Knobs knobs;
    PointRef point;
    unsigned version = 0;
};

class Bank {
  public:
    static constexpr int kChannels = 16;

    // workers: threads that write ahead; 0: `render` writes what it needs, and waits for it.
    Bank(std::shared_ptr<const Instrument> instrument, std::shared_ptr<const Partials> partials, int polyphony,
         int workers);
    ~Bank();

    // Returns the numbers of notes that had to give way.
    std::vector<int> start(int number, int key, double velocity, int channel);
    void release(int number);
    void silence(int number);
    void touch(int channel, float left, float right, double semitones, const Knobs& knobs,
               const std::vector<double>& latent);
    // A note will probably begin in so many samples.
    void announce(int key, double velocity, int channel, long long samples);
    // The next samples of both sides; returns the numbers of the notes that have ended in them.
    // left_in_block: samples from here to the end of the block that these are a part of, if it goes on.
    std::vector<int> render(float* left, float* right, int samples, int left_in_block);

    struct Sounding {
        int number, key;
        double velocity;
        long long release, position;
    };
    std::vector<Sounding> heard() const;
    int sounding() const;
    long long late() const { return late_; }
    long long faulty() const { return faulty_; }
    double prepared() const;
    void set_loudest(float loudest) { loudest_ = loudest; }

  private:
    static constexpr int kPrivate = 5, kPhases = 8, kVelocitySteps = 16;

    // What workers see of a voice.
    struct Slot {
        std::atomic<Stream*> current{nullptr}, pending{nullptr};
        std::atomic<int> needed{0};     // the first frame that is not made
        std::atomic<long long> due{0};  // samples until the pending future is heard
        std::array<Stream, kPrivate> own;
        bool used = false;
    };

    enum class Fade { none, silenced, damped };

    struct Voice {
        Slot* slot = nullptr;
        int number = 0, channel = 0, key = 0;
        double velocity = 64;
        Heard heard;
        long long position = 0, due = 0, planned = 0, branched = 0, turn_from = 0;
        bool let_go = false, released = false, waiting = false, waited = false;
        Stream* shared = nullptr;  // that it reads, where it is not the voice's own
        Stream* pending = nullptr;
        int border = 0;
        Fade fade = Fade::none;
        long long fade_left = 0;
        float fading = 1, level = 1;
        Track track, other;
        // Synthesis.
        int made = 0, quiet = 0;
        unsigned touched = 0;
        const KeyTables* tables = nullptr;
        double ratio = 0;
        std::vector<double> still, hz;  // without and with bend and vibrato
        std::vector<double> phases;     // (kPhases, carriers), in turns at the last frames and the next one
        std::vector<float> gains;       // of carriers
        Partials::Lobes lobes;
        std::vector<float> left, right;  // rings
    };

    struct Announced {
        Stream* stream;
        long long due;
    };

    // First windows of all keys and velocities where the latent knobs stand somewhere.
    struct Memo {
        PointRef point;
        std::vector<Stream> streams;  // (keys, kVelocitySteps)
        std::vector<int> order;       // what is played most comes first
        std::atomic<size_t> looked{0};
        explicit Memo(size_t size) : streams(size) {}
    };

    // A beginning that was announced where the memo knows nothing.
    struct Early {
        Stream stream;
        long long used = -1;  // on the clock
    };

    const Instrument& instrument() const { return *instrument_; }
    std::unique_ptr<Memo> new_memo(const PointRef& point) const;
    Heard heard_of(int key, double velocity, const PointRef& point) const;
    Stream* root(const Heard& heard);
    Voice* voice(int number);
    Voice* free_voice();
    Stream* own_stream(Voice& voice);
    void begin(Voice& voice);
    int needed(const Voice& voice, long long samples) const;
    void end(Voice& voice);
    void leave(Voice& voice);

    void settle();
    void let_go();
    void branch(Voice& voice, int border, const Heard& heard, bool lead, long long due);
    void turn(Voice& voice);
    void make_changes(long long samples);
    bool ready(Voice& voice);
    void change(Voice& voice);
    void damp(Voice& voice);
    long long until_next() const;

    bool write_for(Voice& voice, int frame);
    bool wait_for(const Stream& stream);
    void make_frames(Voice& voice, int end);
    void retune(Voice& voice, int frame);
    void synthesise(Voice& voice, int frame, const Envelopes& envelopes, long long from, bool over);
    void add_stretch(Voice& voice, int frame, float level, long long from, bool over);
    void add_noise(Voice& voice, int frame, const Envelopes& envelopes, float fade, const float sides[4]);
    float fade_of(const Voice& voice, int frame) const;
    void mix(Voice& voice, float* left, float* right, int samples);

    void work();
    std::vector<Stream*> choose(std::vector<Stream*>& parents);
    std::vector<Stream*> unprepared(int most);
    void tidy();
    // What is random in a note is so every time that it is played.
    static unsigned seed_of(const Voice& voice) {
        return static_cast<unsigned>(voice.key * 128 + std::lround(voice.velocity));
    }
    void wake() { news_.release(); }

    std::shared_ptr<const Instrument> instrument_;
    std::shared_ptr<const Partials> partials_;
    int polyphony_;
    size_t ring_;  // samples of a voice's ring, a power of two
    std::vector<std::unique_ptr<Slot>> slots_;
    std::vector<std::unique_ptr<Voice>> voices_;  // those that sound, oldest first
    std::vector<std::unique_ptr<Voice>> idle_;
    std::array<Touch, kChannels> touches_;
    std::unique_ptr<Memo> memo_;
    std::array<Early, 32> early_;
    long long clock_ = 0, settled_ = 0, late_ = 0, faulty_ = 0;
    long long block_ = 0;   // blocks rendered
    long long tidied_ = 0;  // second of the clock
    bool block_over_ = true;
    int spare_ = 0;                                   // windows that the renderer may still write itself in this block
    std::chrono::steady_clock::time_point patience_;  // until which it may wait in this block
    std::chrono::steady_clock::duration own_{1};      // that one window takes
    float loudest_ = 1000;
    Partials::Scratch scratch_;
    Envelopes envelopes_, others_;
    std::vector<float> values_, turned_re_, turned_im_, crowd_re_, crowd_im_;

    bool live_;
    std::vector<std::thread> workers_;
    std::atomic<bool> stop_{false};
    std::counting_semaphore<> news_{0};
    mutable std::mutex choosing_;  // of workers alone
    std::mutex announcing_;
    std::deque<Announced> announced_;
    std::atomic<long long> now_{0};
    std::atomic<bool> sounds_{false};
};

}  // namespace musicnn

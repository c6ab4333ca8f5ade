// What an instrument knows of its keys beside the network: frequencies, reference levels, noise, loudness, motion.
#pragma once

#include <array>
#include <vector>

namespace musicnn {

// How a note's pitch and carriers move by chance; engine/motion.py.
struct Motion {
    static constexpr std::array<double, 5> kAges = {0.1, 0.25, 0.5, 1.0, 2.0};

    double rate = 0, wander = 0, drift = 0, ensemble = 0, spread = 0;
    std::array<double, 5> depth = {};

    bool swings() const;
    // Deviation of the pitch at an age of the note; seed: of the note.
    double cents(unsigned seed, double seconds) const;
    // Factors of the carriers' envelopes, 1 on average; strength: of the ensemble, 1 as it was measured.
    void crowd(unsigned seed, double seconds, double strength, int carriers, float* re, float* im) const;
};

// Tables of one key where the latent knobs stand somewhere.
struct KeyTables {
    std::vector<double> hz;                                // of the carriers, 0 for none
    const std::vector<float>* harmonic = nullptr;          // 0 for a body carrier
    std::vector<float> reference_re, reference_im, noise;  // (channels, carriers), (channels, bands)
    std::vector<int> band;                                 // noise band of each carrier
    double exponent = 0;                                   // amplitude is proportional to (velocity / 127)^exponent
    double voicing_db = 0;
    Motion motion;
};

class Tables {
  public:
    virtual ~Tables() = default;

    // Numbers that the network hears beside the two sines, for positions of the latent knobs.
    virtual std::vector<float> point(const std::vector<double>& positions) const = 0;
    virtual KeyTables of_key(int key, const std::vector<double>& positions) const = 0;
};

// One timbre, each key with tables of its own: beyond the ends those of the last key, transposed.
class PlainTables final : public Tables {
  public:
    int first_key = 0, channels = 0, carriers = 0, bands = 0;
    std::vector<double> hz;                                // (keys, carriers)
    std::vector<float> harmonic;                           // (keys, carriers)
    std::vector<float> reference_re, reference_im, noise;  // (keys, channels, carriers), (keys, channels, bands)
    std::vector<double> voicing;                           // (keys), or nothing
    double exponent = 0;

    // Call once all is filled in.
    void prepare();
    std::vector<float> point(const std::vector<double>&) const override { return {}; }
    KeyTables of_key(int key, const std::vector<double>& positions) const override;

  private:
    std::vector<std::vector<float>> harmonics_;
};

// A space of timbres; engine/timbres.py defines it.
class SpaceTables final : public Tables {
  public:
    int timbres = 0, dims = 0, anchors = 0, channels = 0, carriers = 0, bands = 0;
    std::vector<double> points, centre, axes;  // (timbres, dims), (dims), (axes, dims)
    std::vector<double> keys;                  // (anchors)
    std::vector<double> hz;                    // (timbres, anchors, carriers)
    std::vector<float> harmonic;               // (carriers)
    std::vector<double> level, phase;          // (timbres, anchors, channels, carriers)
    std::vector<double> exponents;             // (timbres)
    std::vector<double> noise;                 // (timbres, anchors, channels, bands)
    std::vector<double> motion;                // (timbres, anchors, 10)
    std::vector<double> voicing;               // (timbres, anchors)

    std::vector<float> point(const std::vector<double>& positions) const override;
    KeyTables of_key(int key, const std::vector<double>& positions) const override;

  private:
    std::vector<double> place(const std::vector<double>& positions) const;
    std::vector<double> weights(const std::vector<double>& place) const;
};

}  // namespace musicnn

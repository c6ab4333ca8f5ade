#include "bank.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>

#include "thread.h"

namespace musicnn {

namespace {

constexpr int kLead = 512;             // samples from an event that changes a voice's future until it is heard
constexpr int kTurnSamples = 1024;     // between two looks at knobs that the network hears
constexpr int kMostLate = 2048;        // samples for which a change is put off at most that is not ready in time
constexpr int kFade = 256;             // samples in which a silenced voice ends: 6 ms
constexpr int kDamped = 8820;          // samples in which a voice fades that is damped without the network: 0.2 s
constexpr int kCrossfade = 128;        // samples from one future to another
constexpr int kMostReleased = 16;      // notes let go at the same sample whose releases the network writes
constexpr float kFaint = 0.01f;        // of the loudest voice, -40 dB: nobody hears how such a note is released
constexpr float kSilent = 3e-5f;       // level under which a voice is not heard
constexpr int kQuietFrames = 32;       // that are not heard, after which a voice ends: 0.2 s
constexpr int kHorizon = 64;           // frames that are written ahead
constexpr int kSoon = 24, kMany = 4;   // windows needed later than that wait until there are so many
constexpr int kRows = 6;               // windows that are written at once
constexpr long long kSettled = 44100;  // samples for which latent knobs rest before beginnings are prepared there
// Between two beginnings that are prepared: a thread in real time that never rests would starve who is not.
constexpr std::chrono::milliseconds kRest{6}, kIdle{20};
constexpr size_t kKept = 32 << 20;  // bytes of what is kept of held notes beyond their beginnings
constexpr int kLongestPart = 512;   // samples that are rendered at once
constexpr double kStretch = 2e-3;   // inharmonicity at the knob's ends, added to the partials' own
constexpr double kMutedDb = -48, kHighestTilt = 30;
constexpr int kApart = 257;  // frames between the noises of notes of neighbouring velocities
constexpr int kVelocityStep = 8;

double heard_velocity(double velocity) {
    return std::min(static_cast<int>(velocity) / kVelocityStep, 127 / kVelocityStep) * kVelocityStep +
           kVelocityStep / 2;
}

float gain_of_db(double db) { return static_cast<float>(std::pow(10.0, db / 20)); }

double tilt_db(double hz, double brightness) {
    return std::min(brightness * std::log2(std::max(hz, 20.0) / 1000), kHighestTilt);
}

}  // namespace

Bank::Bank(std::shared_ptr<const Instrument> instrument, std::shared_ptr<const Partials> partials, int polyphony,
           int workers)
    : instrument_(std::move(instrument)),
      partials_(std::move(partials)),
      polyphony_(polyphony),
      ring_(std::bit_ceil(static_cast<size_t>(partials_->length() + kLongestPart))),
      scratch_(partials_->scratch()),
      live_(workers > 0) {
    const PointRef point = instrument_->point({});
    for (Touch& touch : touches_) touch.point = point;
    memo_ = new_memo(point);
    envelopes_.resize(*instrument_);
    others_.resize(*instrument_);
    const auto carriers = static_cast<size_t>(instrument_->carriers);
    values_.resize(4 * carriers);
    turned_re_.resize(carriers);
    turned_im_.resize(carriers);
    crowd_re_.resize(carriers);
    crowd_im_.resize(carriers);
    for (int i = 0; i < 2 * polyphony + 16; ++i) {  // fading voices take places too
        slots_.push_back(std::make_unique<Slot>());
        auto voice = std::make_unique<Voice>();
        voice->hz.resize(carriers);
        voice->still.resize(carriers);
        voice->phases.resize(kPhases * carriers);
        voice->gains.resize(carriers);
        voice->left.resize(ring_);
        voice->right.resize(ring_);
        idle_.push_back(std::move(voice));
    }
    if (live_) {  // how long one window takes, which the renderer has to know before it writes one itself
        Stream& first = memo_->streams[static_cast<size_t>(memo_->order[0])];
        const auto begun = std::chrono::steady_clock::now();
        instrument_->write({&first});
        own_ = std::chrono::steady_clock::now() - begun;
    }
    for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
}

Bank::~Bank() {
    stop_ = true;
    for (size_t i = 0; i < workers_.size(); ++i) wake();
    for (std::thread& worker : workers_) worker.join();
}

std::unique_ptr<Bank::Memo> Bank::new_memo(const PointRef& point) const {
    const int keys = instrument().last_key - instrument().first_key + 1;
    auto memo = std::make_unique<Memo>(static_cast<size_t>(keys) * kVelocitySteps);
    memo->point = point;
    for (int i = 0; i < keys * kVelocitySteps; ++i) {
        Stream& stream = memo->streams[i];
        stream.heard = {{instrument().first_key + i / kVelocitySteps,
                         heard_velocity(i % kVelocitySteps * kVelocityStep), Note::kHeld},
                        point};
        memo->order.push_back(i);
    }
    const auto rarity = [&](int i) {
        const Note& note = memo->streams[i].heard.note;
        return std::abs(note.key - 60) / 44.0 + std::abs(note.velocity - 68) / 64;
    };
    std::stable_sort(memo->order.begin(), memo->order.end(), [&](int a, int b) { return rarity(a) < rarity(b); });
    return memo;
}

Heard Bank::heard_of(int key, double velocity, const PointRef& point) const {
    const int known = std::clamp(key, instrument().first_key, instrument().last_key);
    return {{known, heard_velocity(velocity), Note::kHeld}, point};
}

// The stream of a note that voices share, where there is one.
Stream* Bank::root(const Heard& heard) {
    if (heard.point == memo_->point) {
        const int row = heard.note.key - instrument().first_key;
        const int step = static_cast<int>(heard.note.velocity) / kVelocityStep;
        return &memo_->streams[static_cast<size_t>(row) * kVelocitySteps + step];
    }
    for (Early& early : early_) {
        const Heard& other = early.stream.heard;
        if (early.used >= 0 && other.point == heard.point && other.note.key == heard.note.key &&
            other.note.velocity == heard.note.velocity) {
            early.used = clock_;
            return &early.stream;
        }
    }
    return nullptr;
}

Bank::Voice* Bank::voice(int number) {
    for (const auto& one : voices_)
        if (one->number == number) return one.get();
    return nullptr;
}

int Bank::needed(const Voice& voice, long long samples) const {
    const long long hop = instrument().codec->hop(), end = voice.position + samples + instrument().codec->length();
    return static_cast<int>((end + hop - 1) / hop) - 1;
}

// --- events ---

std::vector<int> Bank::start(int number, int key, double velocity, int channel) {
    std::vector<int> stolen;
    while (true) {
        int sounding = 0;
        Voice* victim = nullptr;
        for (const auto& one : voices_) {
            if (one->fade != Fade::none) continue;
            ++sounding;  // a released voice gives way before a held one, the softest first
            if (!victim || std::pair(!one->released, one->level) < std::pair(!victim->released, victim->level))
                victim = one.get();
        }
        if (sounding < polyphony_) break;
        stolen.push_back(victim->number);
        victim->fade = Fade::silenced;
        victim->fade_left = kFade;
    }
    if (idle_.empty()) {  // more than fades can take
        end(*voices_.front());
        idle_.push_back(std::move(voices_.front()));
        voices_.erase(voices_.begin());
    }
    std::unique_ptr<Voice> made = std::move(idle_.back());
    idle_.pop_back();
    Voice& voice = *made;
    for (const auto& slot : slots_)
        if (!slot->used) {
            voice.slot = slot.get();
            break;
        }
    voice.slot->used = true;
    voice.number = number;
    voice.channel = channel;
    voice.key = key;
    voice.velocity = velocity;
    voice.position = voice.due = voice.turn_from = 0;
    voice.let_go = voice.released = voice.waiting = voice.waited = false;
    voice.pending = nullptr;
    voice.fade = Fade::none;
    voice.fading = voice.level = 1;
    voice.made = voice.quiet = 0;
    voice.tables = nullptr;
    voice.ratio = 0;
    std::fill(voice.left.begin(), voice.left.end(), 0.0f);
    std::fill(voice.right.begin(), voice.right.end(), 0.0f);
    begin(voice);
    voices_.push_back(std::move(made));
    wake();
    return stolen;
}

// Let a voice read its note from the beginning on.
void Bank::begin(Voice& voice) {
    voice.heard = heard_of(voice.key, voice.velocity, touches_[voice.channel].point);
    Stream* stream = root(voice.heard);
    voice.shared = stream && stream->use() ? stream : nullptr;
    if (!voice.shared) {
        stream = own_stream(voice);
        stream->heard = voice.heard;
        stream->knots = {};
        stream->parent = nullptr;
        stream->release();
    }
    voice.slot->needed = 0;
    voice.slot->current.store(stream, std::memory_order_release);
    voice.track.begin(instrument(), stream, voice.velocity);
}

// A stream of the voice's own that nobody uses, claimed and empty.
Stream* Bank::own_stream(Voice& voice) {
    while (true)  // workers hold at most as many as there are of them, and not for long
        for (Stream& stream : voice.slot->own)
            if (&stream != voice.track.stream() && &stream != voice.pending && stream.claim()) {
                stream.clear();
                return &stream;
            }
}

void Bank::release(int number) {
    Voice* one = voice(number);
    if (one && !one->released && one->fade == Fade::none) one->let_go = true;
}

void Bank::silence(int number) {
    Voice* one = voice(number);
    if (!one || one->fade == Fade::silenced) return;
    if (one->fade == Fade::damped)
        one->fading = static_cast<float>(std::pow(static_cast<double>(one->fade_left) / kDamped, 3));
    one->fade = Fade::silenced;
    one->fade_left = kFade;
}

void Bank::touch(int channel, float left, float right, double semitones, const Knobs& knobs,
                 const std::vector<double>& latent) {
    Touch& touch = touches_[channel];
    touch.left = left;
    touch.right = right;
    touch.semitones = semitones;
    touch.knobs = knobs;
    ++touch.version;
    if (touch.point->positions == latent) return;
    touch.point = nullptr;
    if (memo_->point->positions == latent) touch.point = memo_->point;
    for (const Touch& other : touches_)  // channels that stand alike share what is computed
        if (!touch.point && other.point && other.point->positions == latent) touch.point = other.point;
    if (!touch.point) touch.point = instrument().point(latent);
    if (channel == 0) settled_ = clock_ + kSettled;
}

void Bank::announce(int key, double velocity, int channel, long long samples) {
    const Heard heard = heard_of(key, velocity, touches_[channel].point);
    Stream* stream = root(heard);
    if (!stream) {
        Early* oldest = nullptr;
        for (Early& early : early_)
            if (early.stream.users == 0 && (!oldest || early.used < oldest->used)) oldest = &early;
        if (!oldest || !oldest->stream.claim()) return;
        stream = &oldest->stream;
        stream->clear();
        stream->heard = heard;
        oldest->used = clock_;
        stream->release();
    }
    if (stream->begun()) return;
    {
        const std::lock_guard lock(announcing_);
        announced_.push_back({stream, clock_ + samples});
        if (announced_.size() > early_.size()) announced_.pop_front();
    }
    wake();
}

// --- rendering ---

std::vector<int> Bank::render(float* left, float* right, int samples, int left_in_block) {
    const NoDenormals quick;
    std::vector<int> ended;
    if (block_over_) {
        ++block_;
        const auto half =
            std::chrono::microseconds(500'000LL * std::max(samples, left_in_block) / instrument().sample_rate);
        spare_ = static_cast<int>(half / own_);
        patience_ = std::chrono::steady_clock::now() + half;
    }
    block_over_ = left_in_block <= samples;
    std::fill_n(left, samples, 0.0f);
    std::fill_n(right, samples, 0.0f);
    settle();
    let_go();
    int done = 0;
    do {
        make_changes(samples - done);
        for (const auto& one : voices_) turn(*one);
        const int part =
            static_cast<int>(std::min<long long>({samples - done, kLongestPart, std::max(1LL, until_next())}));
        for (const auto& one : voices_) {
            Voice& voice = *one;
            voice.waiting = !write_for(voice, 0);
            if (voice.waiting) {
                late_ += !voice.waited;
                voice.waited = true;
                continue;
            }
            make_frames(voice, needed(voice, part));
            mix(voice, left + done, right + done, part);
        }
        for (auto one = voices_.begin(); one != voices_.end();) {
            Voice& voice = **one;
            const bool over = voice.fade == Fade::none ? voice.quiet >= kQuietFrames : voice.fade_left <= 0;
            if (over) {
                ended.push_back(voice.number);
                end(voice);
                idle_.push_back(std::move(*one));
                one = voices_.erase(one);
            } else {
                ++one;
            }
        }
        clock_ += part;
        done += part;
    } while (done < samples);
    const long long second = clock_ / instrument().sample_rate;
    if (!live_ && second != tidied_) tidy();
    tidied_ = second;
    sounds_.store(!voices_.empty(), std::memory_order_relaxed);
    now_.store(clock_, std::memory_order_relaxed);
    if (live_ && !voices_.empty()) wake();
    return ended;
}

// Prepare beginnings where the latent knobs have come to rest.
void Bank::settle() {
    const PointRef& point = touches_[0].point;
    if (point == memo_->point || clock_ < settled_) return;
    const std::lock_guard lock(choosing_);
    for (const Stream& stream : memo_->streams)
        if (stream.claimed || stream.users != 0) return;
    const std::lock_guard announcing(announcing_);
    announced_.clear();
    memo_ = new_memo(point);
}

void Bank::let_go() {
    std::vector<Voice*> going;
    float loudest = 0;
    for (const auto& one : voices_) {
        loudest = std::max(loudest, one->level);
        if (one->let_go) going.push_back(one.get());
    }
    if (going.empty()) return;
    std::sort(going.begin(), going.end(), [](const Voice* a, const Voice* b) {
        return std::pair(-a->level, a->number) < std::pair(-b->level, b->number);
    });
    for (size_t rank = 0; rank < going.size(); ++rank) {
        Voice& voice = *going[rank];
        voice.let_go = false;
        voice.released = true;
        Heard heard = voice.heard;
        heard.note.release = voice.position;
        if (rank >= kMostReleased || voice.level < kFaint * loudest) {
            voice.heard = heard;
            damp(voice);
            continue;
        }
        const int border = instrument().codec->first_frame_of(voice.position);
        const Knots& knots = voice.track.stream()->knots;
        const int before = knots.index(instrument().grid, border);  // what was held ends where it ends
        const bool lead = before > 0 && knots.frame(instrument().grid, before - 1) < border - 1;
        voice.pending = nullptr;
        branch(voice, border, heard, lead, voice.position + kLead);
    }
    wake();
}

// Begin another future of a voice.
void Bank::branch(Voice& voice, int border, const Heard& heard, bool lead, long long due) {
    Stream* stream = own_stream(voice);
    stream->parent = const_cast<Stream*>(voice.track.stream());
    stream->before = voice.heard;
    stream->heard = heard;
    const int release =
        heard.note.release == Note::kHeld ? Knots::kNever : instrument().codec->first_frame_of(heard.note.release);
    stream->knots = {border, release, lead};
    stream->release();
    voice.pending = stream;
    voice.border = border;
    voice.due = voice.planned = due;
    voice.branched = block_;
    voice.slot->due = due - voice.position;
    voice.slot->pending.store(stream, std::memory_order_release);
}

// Let the network hear knobs that have moved.
void Bank::turn(Voice& voice) {
    const PointRef& point = touches_[voice.channel].point;
    if (voice.pending || voice.fade == Fade::damped || point == voice.heard.point) return;
    if (voice.position < voice.turn_from) return;
    if (voice.made == 0 && voice.position == 0) {  // nothing has been heard
        leave(voice);
        begin(voice);
        return;
    }
    Heard heard = voice.heard;
    heard.point = point;
    voice.turn_from = voice.position + kTurnSamples;
    branch(voice, needed(voice, kLead), heard, false, voice.position + kLead);
    wake();
}

long long Bank::until_next() const {
    long long wait = std::numeric_limits<int>::max();
    for (const auto& one : voices_) {
        const bool turns = one->heard.point != touches_[one->channel].point && one->fade != Fade::damped;
        if (one->pending)
            wait = std::min(wait, one->due - one->position);
        else if (turns && one->turn_from > one->position)
            wait = std::min(wait, one->turn_from - one->position);
    }
    return wait;
}

void Bank::make_changes(long long samples) {
    for (const auto& one : voices_) {
        Voice& voice = *one;
        if (!voice.pending || voice.due > voice.position) continue;
        if (ready(voice)) {
            change(voice);
        } else if (voice.position - voice.planned >= kMostLate) {  // do without it
            if (voice.pending->heard.note.release != Note::kHeld) {
                voice.heard = voice.pending->heard;
                damp(voice);
            }
            voice.slot->pending = nullptr;
            voice.pending = nullptr;
        } else {
            late_ += voice.due == voice.planned;
            voice.due = voice.position + std::max(samples, 1LL);
        }
    }
}

// Whether a voice's pending future may be heard. Where nobody else writes, it is written now; live, only where its
// event came in this block, which is long then: the workers may not have seen it, and there is the time.
bool Bank::ready(Voice& voice) {
    Stream *current = voice.slot->current, *pending = voice.pending;
    if (pending->begun()) return true;
    if (live_ && (voice.branched < block_ || spare_-- <= 0)) return false;
    const bool held = current->claim();
    const bool claimed = held && pending->claim();
    if (claimed) {
        while (current->written < current->knots.index(instrument().grid, voice.border)) instrument().write({current});
        if (!pending->begun()) instrument().write({pending});
        pending->release();
    }
    if (held) current->release();
    return pending->begun() || wait_for(*pending);
}

// Go the way of the pending future. Frames that have begun are led over from what they were.
void Bank::change(Voice& voice) {
    voice.other.begin(instrument(), voice.pending, voice.velocity);
    if (voice.border > 0 && !voice.pending->knots.lead) {
        voice.track.at(voice.border - 1, envelopes_);
        voice.other.set_anchor(envelopes_);
    }
    const bool retuned = voice.pending->heard.point != voice.heard.point;
    // Phases are known of a few frames only; those before them are nearly over.
    const int first = instrument().writes_bins() ? voice.border : std::max(voice.border, voice.made - kPhases + 1);
    for (int frame = first; frame < voice.made; ++frame) {
        if (!live_) write_for(voice, frame);
        voice.track.at(frame, others_);
        voice.other.at(frame, envelopes_);
        for (size_t i = 0; i < envelopes_.re.size(); ++i) {
            envelopes_.re[i] -= others_.re[i];
            envelopes_.im[i] -= others_.im[i];
        }
        for (size_t i = 0; i < envelopes_.noise.size(); ++i) envelopes_.noise[i] -= others_.noise[i];
        synthesise(voice, frame, envelopes_, voice.position, true);
    }
    Stream* stream = voice.pending;
    leave(voice);
    voice.heard = stream->heard;
    std::swap(voice.track, voice.other);
    voice.slot->current.store(stream, std::memory_order_release);
    voice.slot->pending = nullptr;
    voice.pending = nullptr;
    if (retuned) voice.tables = nullptr;
}

// The voice reads its stream no more.
void Bank::leave(Voice& voice) {
    if (voice.shared) voice.shared->leave();
    voice.shared = nullptr;
}

// Let a voice fade without the network: of what has been written only that counts which is heard now.
void Bank::damp(Voice& voice) {
    voice.fade = Fade::damped;
    voice.fade_left = kDamped;
    voice.slot->pending = nullptr;
    voice.pending = nullptr;
    if (voice.track.knows(0)) voice.track.freeze(voice.made);
}

void Bank::end(Voice& voice) {
    leave(voice);
    voice.slot->current = nullptr;
    voice.slot->pending = nullptr;
    for (Stream& stream : voice.slot->own)
        if (stream.claim()) {  // or a worker still writes it: then it is cleared when it is used again
            stream.clear();
            stream.release();
        }
    voice.slot->used = false;
    voice.slot = nullptr;
}

// Whether a frame may be made to sound: known, or, live, to be done without.
bool Bank::write_for(Voice& voice, int frame) {
    if (voice.track.knows(frame)) return true;
    if (live_ && frame > 0) return true;
    if (live_) {  // it begins a block later where a worker writes it, or there is no time
        Stream* stream = voice.slot->current;
        if (spare_-- <= 0) return false;
        if (!stream->claim()) return wait_for(*stream);
        if (!stream->begun()) instrument().write({stream});
        stream->release();
        return true;
    }
    if (voice.track.frozen()) return true;
    std::vector<Stream*> batch = {voice.slot->current};
    for (const auto& one : voices_) {  // whoever needs the same soon joins
        Stream* stream = one->slot->current;
        const bool same = stream == batch[0] || Instrument::window_size(*stream) != Instrument::window_size(*batch[0]);
        if (same || batch.size() >= kRows || one->fade == Fade::damped) continue;
        if (std::find(batch.begin(), batch.end(), stream) != batch.end()) continue;
        if (stream->known < needed(*one, 0) + kSoon) batch.push_back(stream);
    }
    instrument().write(batch);
    while (!voice.track.knows(frame)) instrument().write({voice.slot->current});
    return true;
}

// In a block that is long enough, give the worker that writes a stream a moment; returns whether it is there.
bool Bank::wait_for(const Stream& stream) {
    while (!stream.begun() && std::chrono::steady_clock::now() < patience_) std::this_thread::yield();
    return stream.begun();
}

void Bank::make_frames(Voice& voice, int end) {
    for (; voice.made < end; ++voice.made) {
        const int frame = voice.made;
        write_for(voice, frame);
        late_ += live_ && voice.fade != Fade::damped && !voice.track.knows(frame);
        voice.track.at(frame, envelopes_);
        retune(voice, frame);
        synthesise(voice, frame, envelopes_, std::numeric_limits<long long>::min(), false);
        if (voice.fade == Fade::silenced && voice.fade_left <= 0) return;
        voice.quiet = voice.level < kSilent && frame > kQuietFrames ? voice.quiet + 1 : 0;
        voice.slot->needed.store(frame + 1, std::memory_order_relaxed);
    }
}

// Where the carriers lie at a frame, how loud each is, and their phases.
void Bank::retune(Voice& voice, int frame) {
    const Touch& touch = touches_[voice.channel];
    const int carriers = instrument().carriers, hop = partials_->hop();
    const bool begun = voice.tables == nullptr;
    if (begun) voice.tables = &instrument().tables_of(voice.heard);
    if (instrument().writes_bins()) return;
    const KeyTables& tables = *voice.tables;
    const std::vector<float>& harmonic = *tables.harmonic;
    if (begun || voice.touched != touch.version) {
        voice.touched = touch.version;
        const Knobs& knobs = touch.knobs;
        const double voiced = tables.voicing_db * knobs.voicing;
        for (int i = 0; i < carriers; ++i) {
            const double k = std::min(static_cast<double>(harmonic[i]), 64.0);
            const double spread = 1 + knobs.stretch * kStretch * std::max(k * k - 1, 0.0);
            voice.still[i] = tables.hz[i] * (knobs.stretch == 0 ? 1 : std::sqrt(std::max(spread, 0.1)));
            const bool even = std::fmod(harmonic[i], 2.0f) == 0 && harmonic[i] > 0;
            const bool muted = knobs.odd_even > 0 ? even : std::fmod(harmonic[i], 2.0f) == 1;
            double db = voiced + tilt_db(tables.hz[i], knobs.brightness);
            if (muted) db += kMutedDb * std::abs(knobs.odd_even);
            if (harmonic[i] == 0) db += knobs.body;
            voice.gains[i] = gain_of_db(db);
        }
        voice.ratio = 0;
    }
    double semitones = touch.semitones + touch.knobs.tune / 100;
    if (touch.knobs.vibrato != 0 && tables.motion.swings()) {
        const double seconds = std::max(partials_->centre(frame), 0.0) / partials_->sample_rate();
        semitones += touch.knobs.vibrato * tables.motion.cents(seed_of(voice), seconds) / 100;
    }
    const double ratio = std::exp2((semitones + voice.key - voice.heard.note.key) / 12);
    if (ratio != voice.ratio) {
        voice.ratio = ratio;
        for (int i = 0; i < carriers; ++i) voice.hz[i] = voice.still[i] * ratio;
        partials_->place(voice.hz.data(), carriers, voice.lobes);
    }
    double* now = voice.phases.data() + static_cast<size_t>(frame % kPhases) * carriers;
    double* next = voice.phases.data() + static_cast<size_t>((frame + 1) % kPhases) * carriers;
    const double step = static_cast<double>(hop) / partials_->sample_rate();
    if (frame == 0)
        for (int i = 0; i < carriers; ++i) now[i] = voice.hz[i] * partials_->centre(0) / partials_->sample_rate();
    for (int i = 0; i < carriers; ++i) {
        const double phase = now[i] + voice.hz[i] * step;
        next[i] = phase - std::floor(phase);
    }
}

float Bank::fade_of(const Voice& voice, int frame) const {
    const Knobs& knobs = touches_[voice.channel].knobs;
    const double seconds = std::max(partials_->centre(frame), 0.0) / partials_->sample_rate();
    const double attack = knobs.attack / 1000, rise = attack > 0 ? std::min(seconds, attack) / attack : 1;
    return static_cast<float>(rise) * gain_of_db(-knobs.decay * seconds);
}

// Add what a frame sounds like to the voice's ring. over: it is the difference of two futures, and comes in from a
// sample on.
void Bank::synthesise(Voice& voice, int frame, const Envelopes& envelopes, long long from, bool over) {
    const Touch& touch = touches_[voice.channel];
    const int carriers = instrument().carriers, channels = instrument().channels;
    const float fade = fade_of(voice, frame), wide = channels > 1 ? static_cast<float>(touch.knobs.width) : 0.0f;
    const float sides[4] = {touch.left, touch.left * wide, touch.right, -touch.right * wide};
    if (!instrument().writes_bins())
        instrument().kernels->turn(voice.phases.data() + static_cast<size_t>(frame % kPhases) * carriers,
                                   voice.gains.data(), turned_re_.data(), turned_im_.data(), carriers);
    if (touch.knobs.ensemble > 0 && voice.tables->motion.ensemble > 0) {
        const double seconds = std::max(partials_->centre(frame), 0.0) / partials_->sample_rate();
        voice.tables->motion.crowd(seed_of(voice), seconds, touch.knobs.ensemble, carriers, crowd_re_.data(),
                                   crowd_im_.data());
        for (int i = 0; i < carriers; ++i) {
            const float re = turned_re_[i], im = turned_im_[i];
            turned_re_[i] = re * crowd_re_[i] - im * crowd_im_[i];
            turned_im_[i] = re * crowd_im_[i] + im * crowd_re_[i];
        }
    }
    float level = 0;
    if (instrument().writes_bins()) {
        partials_->begin(voice.lobes, nullptr, 0, scratch_);
        for (int which = 0; which < 4; ++which) {
            const float* part = which % 2 ? envelopes.im.data() : envelopes.re.data();
            float* out = partials_->spectrum(scratch_, which);
            for (int i = 0; i < carriers; ++i) out[i] = (which < 2 ? touch.left : touch.right) * part[i];
        }
        level = instrument().kernels->magnitude(envelopes.re.data(), envelopes.im.data(), carriers);
        add_stretch(voice, frame, level, from, over);
        return;
    }
    for (int i = 0; i < 4 * carriers; ++i) values_[i] = 0;
    for (int channel = 0; channel < channels; ++channel) {
        const float *re = envelopes.re.data() + channel * carriers, *im = envelopes.im.data() + channel * carriers;
        const float left = fade * sides[channel], right = fade * sides[2 + channel];
        for (int i = 0; i < carriers; ++i) {
            const float a = re[i] * turned_re_[i] - im[i] * turned_im_[i];
            const float b = re[i] * turned_im_[i] + im[i] * turned_re_[i];
            values_[i] += left * a;
            values_[carriers + i] += left * b;
            values_[2 * carriers + i] += right * a;
            values_[3 * carriers + i] += right * b;
        }
        level += instrument().kernels->magnitude(re, im, carriers);
    }
    partials_->begin(voice.lobes, values_.data(), carriers, scratch_);
    if (instrument().bands && touch.knobs.breath != 0) add_noise(voice, frame, envelopes, fade, sides);
    for (const float one : envelopes.noise) level += 4 * one / static_cast<float>(std::max(1, instrument().bands));
    add_stretch(voice, frame, level, from, over);
}

void Bank::add_stretch(Voice& voice, int frame, float level, long long from, bool over) {
    const int length = partials_->length();
    const float* window = instrument().writes_bins() ? instrument().stretch_window.data() : nullptr;
    const std::complex<float>* stretch = partials_->stretch(scratch_);
    const long long start = (frame + 1LL) * partials_->hop() - length;
    float energy = 0, highest = 0;
    for (int i = 0; i < length; ++i) {
        const float left = std::abs(stretch[i].real()), right = std::abs(stretch[i].imag());
        energy += left * left + right * right;  // no maximum finds what is no number
        highest = std::max(highest, std::max(left, right));
    }
    if (!std::isfinite(energy) || highest > loudest_ * static_cast<float>(length)) {  // no sound: the voice ends
        faulty_ += voice.fade != Fade::silenced || voice.fade_left > 0;
        voice.fade = Fade::silenced;
        voice.fade_left = 0;
        return;
    }
    for (int i = static_cast<int>(std::max(-start, 0LL)); i < length; ++i) {
        const long long sample = start + i;
        float gain = 1.0f / static_cast<float>(length);
        if (window) gain *= window[i];
        if (sample < partials_->rise()) gain *= partials_->onset_gain(sample);
        if (over) {
            if (sample < from) continue;
            gain *= std::min(1.0f, static_cast<float>(sample - from + 1) / kCrossfade);
        }
        const float left = gain * stretch[i].real(), right = gain * stretch[i].imag();
        voice.left[static_cast<size_t>(sample) & (ring_ - 1)] += left;
        voice.right[static_cast<size_t>(sample) & (ring_ - 1)] += right;
    }
    if (!over) voice.level = level;
}

void Bank::add_noise(Voice& voice, int frame, const Envelopes& envelopes, float fade, const float sides[4]) {
    const Instrument& instrument = this->instrument();
    const Knobs& knobs = touches_[voice.channel].knobs;
    const int bins = partials_->bins(), bands = instrument.bands;
    const long long first = frame + static_cast<long long>(seed_of(voice)) * kApart;
    const auto row = static_cast<size_t>(first % instrument.noise_frames);
    const float gain = fade * static_cast<float>(knobs.breath) * gain_of_db(voice.tables->voicing_db * knobs.voicing);
    for (int channel = 0; channel < instrument.channels; ++channel) {
        const float* re = instrument.noise_re.data() + (row * instrument.channels + channel) * bins;
        const float* im = instrument.noise_im.data() + (row * instrument.channels + channel) * bins;
        int bin = 0;
        for (int band = 0; band < bands; ++band) {
            const float level =
                gain * envelopes.noise[channel * bands + band] *
                (knobs.brightness != 0 ? gain_of_db(tilt_db(instrument.band_hz[band], knobs.brightness)) : 1);
            const int begin = bin;
            while (bin < bins && instrument.band_of_bin[bin] == band) ++bin;
            for (int side = 0; side < 2; ++side) {
                const float share = level * sides[2 * side + channel];
                float *out_re = partials_->spectrum(scratch_, 2 * side),
                      *out_im = partials_->spectrum(scratch_, 2 * side + 1);
                for (int i = begin; i < bin; ++i) {
                    out_re[i] += share * re[i];
                    out_im[i] += share * im[i];
                }
            }
        }
    }
}

void Bank::mix(Voice& voice, float* left, float* right, int samples) {
    for (int i = 0; i < samples; ++i) {
        float gain = 1;
        if (voice.fade != Fade::none) {
            const long long remaining = voice.fade_left - i;
            const float share =
                static_cast<float>(std::max(remaining, 0LL)) / (voice.fade == Fade::damped ? kDamped : kFade);
            gain = voice.fade == Fade::damped ? share * share * share : voice.fading * std::min(share, 1.0f);
        }
        float& l = voice.left[static_cast<size_t>(voice.position + i) & (ring_ - 1)];
        float& r = voice.right[static_cast<size_t>(voice.position + i) & (ring_ - 1)];
        left[i] += gain * l;
        right[i] += gain * r;
        l = r = 0;
    }
    voice.position += samples;
    if (voice.fade != Fade::none) voice.fade_left -= samples;
    if (voice.pending) voice.slot->due.store(voice.due - voice.position, std::memory_order_relaxed);
}

// --- what is known of it ---

std::vector<Bank::Sounding> Bank::heard() const {
    std::vector<Sounding> out;
    for (const auto& one : voices_)
        out.push_back(
            {one->number, one->heard.note.key, one->heard.note.velocity, one->heard.note.release, one->position});
    return out;
}

int Bank::sounding() const { return static_cast<int>(voices_.size()); }

double Bank::prepared() const {
    return static_cast<double>(memo_->looked.load()) / static_cast<double>(memo_->streams.size());
}

// --- workers ---

void Bank::work() {
    const NoDenormals quick;
    hurry_thread();
    auto rested = std::chrono::steady_clock::now();
    while (!stop_) {
        std::vector<Stream*> streams, parents;
        bool preparing = false;
        {
            const std::lock_guard lock(choosing_);
            streams = choose(parents);
            if (streams.empty()) tidy();
            preparing = memo_->looked < memo_->order.size();
            if (streams.empty() && std::chrono::steady_clock::now() - rested > kRest) {
                streams = unprepared(sounds_ ? 1 : kRows / 2);  // an urgent one would have to wait for it
                if (!streams.empty()) rested = std::chrono::steady_clock::now() + kRest;
            }
        }
        if (streams.empty()) {
            (void)news_.try_acquire_for(preparing ? kRest : kIdle);
            while (news_.try_acquire()) {
            }
            continue;
        }
        instrument().write(streams);
        for (Stream* stream : streams) stream->release();
        for (Stream* parent : parents) parent->release();
    }
}

// Claimed streams whose next windows are written together, the most urgent first; and those that they branch off from,
// claimed too, so that they stay while they are read.
std::vector<Stream*> Bank::choose(std::vector<Stream*>& parents) {
    struct Candidate {
        long long margin;  // samples until it is needed
        Stream* stream;
        std::atomic<Stream*>* place;
    };
    static thread_local std::vector<Candidate> candidates;
    candidates.clear();
    const int hop = instrument().codec->hop();
    {
        const std::lock_guard lock(announcing_);
        const long long now = now_;
        while (!announced_.empty() && (announced_.front().stream->begun() || announced_.front().due < now))
            announced_.pop_front();
        for (const Announced& one : announced_)
            if (!one.stream->begun()) candidates.push_back({one.due - now, one.stream, nullptr});
    }
    for (const auto& slot : slots_) {
        Stream* current = slot->current.load(std::memory_order_acquire);
        Stream* pending = slot->pending.load(std::memory_order_acquire);
        if (!current) continue;
        const long long ahead = current->known + 1 - slot->needed.load(std::memory_order_relaxed);
        long long margin = ahead * hop;
        if (!current->begun()) margin = -1;
        if (pending && !pending->begun()) {
            const long long due = slot->due.load(std::memory_order_relaxed);
            // Its fields are the renderer's to change unless it is claimed.
            if (pending->claim()) {
                if (slot->pending.load() == pending && slot->current.load() == current && pending->parent == current) {
                    const bool possible = current->known >= pending->knots.from - 1;
                    if (possible)
                        candidates.push_back({due, pending, &slot->pending});
                    else
                        margin = std::min(margin, due);
                }
                pending->release();
            }
        } else if (pending) {
            const long long known = pending->known + 1 - slot->needed.load(std::memory_order_relaxed);
            candidates.push_back({known * hop, pending, &slot->pending});
            continue;
        }
        candidates.push_back({margin, current, &slot->current});
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const Candidate& a, const Candidate& b) { return a.margin < b.margin; });
    std::vector<Stream*> chosen;
    int size = 0;
    for (const Candidate& one : candidates) {
        if (one.margin >= static_cast<long long>(kHorizon) * hop || chosen.size() >= kRows) break;
        if (std::find(chosen.begin(), chosen.end(), one.stream) != chosen.end() || !one.stream->claim()) continue;
        const bool valid = !one.place || one.place->load() == one.stream;
        const bool fits = chosen.empty() || Instrument::window_size(*one.stream) == size;
        Stream* parent = valid && fits && !one.stream->begun() ? one.stream->parent : nullptr;
        const bool held = std::find(parents.begin(), parents.end(), parent) != parents.end() ||
                          std::find(chosen.begin(), chosen.end(), parent) != chosen.end();
        if (!valid || !fits || (parent && !held && !parent->claim())) {
            one.stream->release();
            continue;
        }
        if (parent && !held) {
            parents.push_back(parent);
            // It may have gone before it was claimed.
            const bool there = one.place->load() == one.stream &&
                               parent->written >= parent->knots.index(instrument().grid, one.stream->knots.from);
            if (!there) {
                parents.pop_back();
                parent->release();
                one.stream->release();
                continue;
            }
        }
        size = Instrument::window_size(*one.stream);
        chosen.push_back(one.stream);
    }
    if (!chosen.empty() && chosen.size() < kMany && candidates.front().margin >= static_cast<long long>(kSoon) * hop) {
        for (Stream* stream : chosen) stream->release();  // others will join
        for (Stream* parent : parents) parent->release();
        parents.clear();
        chosen.clear();
    }
    return chosen;
}

// Keep no more than kKept of what held notes were written beyond their beginnings.
void Bank::tidy() {
    const size_t knot =
        sizeof(unsigned short) * static_cast<size_t>(instrument().outputs() + instrument().network->states());
    size_t bytes = 0;
    for (const Stream& stream : memo_->streams)
        bytes += static_cast<size_t>(std::max(stream.written - Instrument::kBeginning, 0)) * knot;
    if (bytes <= kKept) return;
    for (Stream& stream : memo_->streams)
        if (stream.written > Instrument::kBeginning) stream.shorten(instrument().grid);
}

// Beginnings that nobody has played yet, claimed.
std::vector<Stream*> Bank::unprepared(int most) {
    std::vector<Stream*> chosen;
    size_t looked = memo_->looked;
    bool gap = false;
    for (size_t i = looked; i < memo_->order.size() && static_cast<int>(chosen.size()) < most; ++i) {
        Stream& stream = memo_->streams[memo_->order[i]];
        if (stream.begun()) {
            if (!gap) memo_->looked = i + 1;
            continue;
        }
        gap = true;
        if (stream.claim()) {
            if (stream.begun())
                stream.release();
            else
                chosen.push_back(&stream);
        }
    }
    return chosen;
}

}  // namespace musicnn

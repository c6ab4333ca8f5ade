#include "stream.h"

#include <algorithm>

namespace musicnn {

void Stream::clear() {
    for (Window* window = windows.exchange(nullptr); window;) {
        Window* next = window->next.load();
        delete window;
        window = next;
    }
    newest = nullptr;
    window_count = 0;
    known.store(-1, std::memory_order_relaxed);
    written.store(0, std::memory_order_release);
}

void Stream::shorten(const Grid& grid) {
    int nobody = 0;
    if (window_count < 2 || !users.compare_exchange_strong(nobody, -1, std::memory_order_acquire)) return;
    if (claim()) {
        Window* first = windows.load();
        for (Window* window = first->next.exchange(nullptr); window;) {
            Window* next = window->next.load();
            delete window;
            window = next;
        }
        newest = first;
        window_count = 1;
        known.store(knots.frame(grid, first->count - 1), std::memory_order_relaxed);
        written.store(first->count, std::memory_order_release);
        release();
    }
    users.store(0, std::memory_order_release);
}

const KeyTables& Instrument::tables_of(const Heard& heard) const {
    auto& place = heard.point->tables[static_cast<size_t>(heard.note.key)];
    if (const KeyTables* made = place.load(std::memory_order_acquire)) return *made;
    auto* making = new KeyTables(tables->of_key(heard.note.key, heard.point->positions));
    const int last = static_cast<int>(band_of_bin.size()) - 1;
    for (const double hz : making->hz) {
        const double bin = hz * codec->length() / sample_rate;
        making->band.push_back(bands ? band_of_bin[std::clamp(static_cast<int>(bin + 0.5), 0, last)] : 0);
    }
    const KeyTables* made = nullptr;
    if (!place.compare_exchange_strong(made, making, std::memory_order_acq_rel)) {  // another thread was quicker
        delete making;
        return *made;
    }
    return *making;
}

PointRef Instrument::point(const std::vector<double>& positions) const {
    auto made = std::make_shared<Point>(positions);
    made->features = tables->point(positions);
    return made;
}

void Instrument::input(const Stream& stream, int knot, float* out) const {
    const bool lead = stream.knots.lead && knot == 0;
    const Heard& heard = lead ? stream.before : stream.heard;
    codec->frame(heard.note, stream.knots.frame(grid, knot), out);
    std::copy(heard.point->features.begin(), heard.point->features.end(), out + codec->features());
}

void Instrument::state_before(const Stream& stream, float* out) const {
    const int states = network->states();
    if (stream.newest) {
        std::copy(stream.newest->last.begin(), stream.newest->last.end(), out);
        return;
    }
    const Stream* parent = stream.parent;
    const int knots = parent ? parent->knots.index(grid, stream.knots.from) : 0;
    if (!parent) {
        std::fill_n(out, states, 0.0f);
        return;
    }
    if (knots == 0) {  // it branches off where its parent did
        std::copy(parent->origin.begin(), parent->origin.end(), out);
        return;
    }
    const Window* window = parent->windows.load(std::memory_order_acquire);
    while (window->first + window->count < knots) window = window->next.load(std::memory_order_acquire);
    const int within = knots - window->first - 1;
    if (within + 1 == window->count)
        std::copy(window->last.begin(), window->last.end(), out);
    else
        kernels->from_half(window->states.data() + static_cast<size_t>(within) * states, out, states);
}

void Instrument::write(const std::vector<Stream*>& streams) const {
    const int voices = static_cast<int>(streams.size()), commit = window_size(*streams[0]), frames = commit + context;
    const int features = network->features(), states = network->states();
    static thread_local std::vector<float> x, before, output, after;
    x.resize(static_cast<size_t>(voices) * frames * features);
    before.resize(static_cast<size_t>(voices) * states);
    output.resize(static_cast<size_t>(voices) * commit * outputs());
    after.resize(static_cast<size_t>(voices) * commit * states);
    for (int voice = 0; voice < voices; ++voice) {
        Stream& stream = *streams[voice];
        const int first = stream.written.load(std::memory_order_relaxed);
        tables_of(stream.heard);
        float* state = before.data() + static_cast<size_t>(voice) * states;
        state_before(stream, state);
        if (!stream.newest) stream.origin.assign(state, state + states);
        for (int frame = 0; frame < frames; ++frame)
            input(stream, first + frame, x.data() + (static_cast<size_t>(voice) * frames + frame) * features);
    }
    network->window(x.data(), voices, frames, commit, before.data(), output.data(), after.data());
    for (int voice = 0; voice < voices; ++voice) {
        Stream& stream = *streams[voice];
        auto* window = new Window;
        window->first = stream.written.load(std::memory_order_relaxed);
        window->count = commit;
        const int written = commit * outputs();
        window->raw.resize(written);
        kernels->to_half(output.data() + static_cast<size_t>(voice) * written, window->raw.data(), written);
        window->states.resize(static_cast<size_t>(commit) * states);
        const float* state = after.data() + static_cast<size_t>(voice) * commit * states;
        kernels->to_half(state, window->states.data(), commit * states);
        window->last.assign(state + static_cast<size_t>(commit - 1) * states,
                            state + static_cast<size_t>(commit) * states);
        if (stream.newest)
            stream.newest->next.store(window, std::memory_order_release);
        else
            stream.windows.store(window, std::memory_order_release);
        stream.newest = window;
        ++stream.window_count;
        stream.known.store(stream.knots.frame(grid, window->first + commit - 1), std::memory_order_relaxed);
        stream.written.store(window->first + commit, std::memory_order_release);
    }
}

}  // namespace musicnn

// At which frames of a note the network writes; engine/grid.py defines it.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

namespace musicnn {

// Frames 0, 1, 2 ... up to the first step's start, then every second one or so, and so on.
class Strides {
  public:
    Strides() = default;
    explicit Strides(std::vector<std::pair<int, int>> steps) : steps_(std::move(steps)) {}

    int frame(int index) const {
        int number = 0, before = 0, stride = 1, frame = index;
        for (const auto& [start, wider] : steps_) {
            number += (start - before) / stride;
            if (index >= number) frame = start + (index - number) * wider;
            before = start;
            stride = wider;
        }
        return frame;
    }

    // How many knots lie before a frame.
    int index(int frame) const {
        int number = 0, before = 0, stride = 1;
        for (const auto& [start, wider] : steps_) {
            if (frame <= start) break;
            number += (start - before) / stride;
            before = start;
            stride = wider;
        }
        return number + (std::max(frame - before, 0) + stride - 1) / stride;
    }

  private:
    std::vector<std::pair<int, int>> steps_;  // from which frame on, how many frames apart
};

struct Grid {
    Strides held, released;
};

// The knots of one future of a note, in order.
struct Knots {
    static constexpr int kNever = 1 << 30;

    int from = 0;          // the first frame that is this future's own
    int release = kNever;  // the first frame that hears the release
    bool lead = false;     // whether frame from - 1 is a knot too, so that what was before ends where it ends

    int frame(const Grid& grid, int index) const {
        if (lead && index-- == 0) return from - 1;
        if (release == kNever) return grid.held.frame(grid.held.index(from) + index);
        return release + grid.released.frame(grid.released.index(from - release) + index);
    }

    // How many of the knots lie before a frame.
    int index(const Grid& grid, int frame) const {
        const int own = release == kNever ? grid.held.index(std::max(frame, from)) - grid.held.index(from)
                                          : grid.released.index(std::max(frame, from) - release) -
                                                grid.released.index(from - release);
        return own + (lead && frame >= from ? 1 : 0);
    }
};

}  // namespace musicnn

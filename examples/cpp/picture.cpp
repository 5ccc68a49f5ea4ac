// SPDX-License-Identifier: Apache-2.0
#include "picture.hpp"

#include <algorithm>
#include <utility>

namespace tiles {

namespace {

/* How many iterations a point takes to leave the circle; `depth` if it stays. */
std::uint32_t escape(std::complex<double> point, unsigned depth) {
    double x = 0.0;
    double y = 0.0;
    for (unsigned i = 0; i < depth; i++) {
        const double xx = x * x;
        const double yy = y * y;
        if (xx + yy > 4.0) {
            return i;
        }
        y = 2.0 * x * y + point.imag();
        x = xx - yy + point.real();
    }
    return depth;
}

} // namespace

void picture::render(std::size_t first, std::size_t last) {
    const double step = view_.width / static_cast<double>(side_);
    const std::complex<double> corner = view_.centre - std::complex<double>(view_.width / 2.0, view_.width / 2.0);
    for (std::size_t row = first; row < last; row++) {
        for (std::size_t column = 0; column < side_; column++) {
            const std::complex<double> offset(static_cast<double>(column) * step, static_cast<double>(row) * step);
            pixels_[row * side_ + column] = escape(corner + offset, view_.depth);
        }
    }
}

std::vector<std::uint32_t> picture::ranked(std::size_t count) const {
    std::vector<std::uint32_t> sorted = pixels_;
    std::sort(sorted.begin(), sorted.end());
    std::vector<std::pair<std::size_t, std::uint32_t>> runs;
    for (auto at = sorted.begin(); at != sorted.end();) {
        const auto end = std::upper_bound(at, sorted.end(), *at);
        runs.emplace_back(static_cast<std::size_t>(end - at), *at);
        at = end;
    }
    std::sort(runs.rbegin(), runs.rend());
    std::vector<std::uint32_t> values;
    for (std::size_t i = 0; i < runs.size() && i < count; i++) {
        values.push_back(runs[i].second);
    }
    return values;
}

} // namespace tiles

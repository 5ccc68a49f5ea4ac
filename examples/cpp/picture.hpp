// SPDX-License-Identifier: Apache-2.0
/* The work of the example: pictures of the Mandelbrot set, computed by rows, and their colours ranked. */
#ifndef TILES_PICTURE_HPP
#define TILES_PICTURE_HPP

#include <complex>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tiles {

struct view {
    const char *name;
    std::complex<double> centre;
    double width;
    unsigned depth; /* iterations at most */
};

class picture {
  public:
    picture(const view &what, std::size_t side) : view_(what), side_(side), pixels_(side * side) {}

    [[nodiscard]] std::size_t side() const noexcept { return side_; }

    /* Computes rows `first` up to, but without, `last`. Different rows may be computed by different threads. */
    void render(std::size_t first, std::size_t last);

    /* The `count` most frequent values, most frequent first; after all rows were rendered. */
    [[nodiscard]] std::vector<std::uint32_t> ranked(std::size_t count) const;

  private:
    view view_;
    std::size_t side_;
    std::vector<std::uint32_t> pixels_;
};

} // namespace tiles

#endif

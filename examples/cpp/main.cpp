// SPDX-License-Identifier: Apache-2.0
/*
 * tiles: scoped spans in C++. Draws pictures for some seconds, each in a span of its own; the rows of a picture are
 * computed by a pool, in the picture's span, and its colours ranked in a nested one.
 *
 *     OTELPROF_OUTPUT_DIR=profiles tiles 5 && otelprof top --by picture profiles
 */
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <future>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include <otelprof/otelprof.hpp>

#include "picture.hpp"
#include "pool.hpp"

namespace {

constexpr std::size_t side = 256;
constexpr std::size_t rows_a_task = 16;

const tiles::view views[] = {
    {"whole", {-0.75, 0.0}, 3.0, 300},
    {"seahorses", {-0.745, 0.113}, 0.01, 1500},
    {"elephants", {0.2855, 0.0115}, 0.01, 800},
};

template <typename Id> Id random_id(std::mt19937_64 &random) {
    Id id;
    std::generate(id.begin(), id.end(), [&random] { return static_cast<std::uint8_t>(random() | 1); });
    return id;
}

/* Draws a picture; returns its most frequent value. */
std::uint32_t draw(pool &workers, const tiles::view &view, std::mt19937_64 &random) {
    static const otelprof::attribute_key picture_key("picture");
    static const otelprof::attribute_key step_key("picture.step");
    const auto trace = random_id<otelprof::trace_id>(random);

    otelprof::span whole(trace, random_id<otelprof::span_id>(random));
    whole.attribute(picture_key, view.name);
    tiles::picture picture(view, side);
    std::vector<std::future<void>> parts;
    for (std::size_t row = 0; row < side; row += rows_a_task) {
        parts.push_back(workers.submit([&picture, row] { picture.render(row, row + rows_a_task); }));
    }
    for (std::future<void> &part : parts) {
        part.get();
    }

    otelprof::span ranking(trace, random_id<otelprof::span_id>(random));
    ranking.attribute(step_key, "ranking");
    return picture.ranked(1).front();
}

void report(const otelprof::session &profiler, std::size_t pictures, std::uint64_t sum) {
    std::cout << "tiles: " << pictures << " pictures, sum of their most frequent values " << sum << '\n';
    if (!profiler) {
        std::cout << "tiles: not profiled: " << otelprof_strerror(profiler.error()) << '\n' << otelprof::diagnose();
    }
}

} // namespace

int main(int argc, char **argv) {
    const int seconds = argc > 1 ? std::atoi(argv[1]) : 5;
    if (argc > 2 || seconds < 1 || seconds > 3600) {
        std::cerr << "Usage: tiles [SECONDS]   (1 to 3600, 5 by default)\n";
        return 2;
    }
    otelprof_options options = otelprof::make_options();
    options.service_name = "tiles";
    otelprof::session profiler(options);

    std::size_t pictures = 0;
    std::uint64_t sum = 0;
    {
        pool workers(std::max(2U, std::thread::hardware_concurrency()));
        std::mt19937_64 random(std::random_device{}());
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
        for (; std::chrono::steady_clock::now() < end; pictures++) {
            sum += draw(workers, views[pictures % std::size(views)], random);
        }
    }
    report(profiler, pictures, sum);

    const int stopped = profiler.stop();
    const auto counters = otelprof::stats();
    std::cout << "tiles: " << counters.samples_fired << " samples, " << counters.samples_with_span << " with a span, "
              << counters.samples_exported << " exported\n";
    return stopped < 0 && stopped != OTELPROF_E_STATE ? 1 : 0;
}

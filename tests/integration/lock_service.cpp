// SPDX-License-Identifier: Apache-2.0
// A service in C++ that has locks like others: lock_service DIR SECONDS. Four workers take requests from a queue under
// a std::mutex and a std::condition_variable, each in a span with its route; /report holds the inventory for long,
// /order wants it shortly; /reprice writes the prices that /search reads, under a std::shared_mutex. What each request
// makes of the data is checked.
#include <otelprof/otelprof.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>

#define NOINLINE __attribute__((noinline))

namespace service {

using namespace std::chrono_literals;

struct queue {
    std::mutex mutex;
    std::condition_variable some;
    std::deque<const char *> requests;
    bool closed = false;
};

queue incoming;
std::mutex inventory_mutex;
std::shared_mutex price_mutex;
std::map<std::string, long> inventory, prices;
std::atomic<long> wrong{0}, ordered{0}, reported{0};
std::atomic<unsigned> sink{0}; // keeps calls from becoming jumps

void work(std::chrono::microseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until)
        sink++;
}

// Each does something after its unlock: one that is the last thing of a function is a jump, and the function is in no
// stack any more.
NOINLINE void report() {
    {
        std::lock_guard<std::mutex> guard(inventory_mutex);
        long sum = 0;
        for (const auto &item : inventory)
            sum += item.second;
        work(1500us);
        wrong += sum != ordered;
    }
    reported++;
}

NOINLINE void order() {
    {
        std::lock_guard<std::mutex> guard(inventory_mutex);
        inventory["item" + std::to_string(ordered % 100)]++;
        ordered++;
    }
    sink++;
}

NOINLINE void search() {
    {
        std::shared_lock<std::shared_mutex> lock(price_mutex);
        long first = prices.at("a");
        work(50us);
        wrong += prices.at("b") != first;
    }
    sink++;
}

NOINLINE void reprice() {
    {
        std::unique_lock<std::shared_mutex> lock(price_mutex);
        prices["a"]++;
        work(1000us);
        prices["b"]++;
    }
    sink++;
}

NOINLINE const char *next() {
    std::unique_lock<std::mutex> lock(incoming.mutex);
    incoming.some.wait(lock, [] { return incoming.closed || !incoming.requests.empty(); });
    if (incoming.requests.empty())
        return nullptr;
    const char *route = incoming.requests.front();
    incoming.requests.pop_front();
    return route;
}

void serve(const char *route, unsigned number) {
    otelprof::trace_id trace{'l', 'o', 'c', 'k'};
    otelprof::span_id id{'l', 'o', 'c', 'k'};
    std::memcpy(trace.data() + 12, &number, sizeof(number));
    std::memcpy(id.data() + 4, &number, sizeof(number));
    otelprof::span span(trace, id);
    span.attribute("http.route", route);
    if (!std::strcmp(route, "/report"))
        report();
    else if (!std::strcmp(route, "/order"))
        order();
    else if (!std::strcmp(route, "/search"))
        search();
    else
        reprice();
    sink++;
}

void worker() {
    static std::atomic<unsigned> number{1};
    while (const char *route = next())
        serve(route, number++);
}

void send(int seconds) {
    static const char *const routes[] = {"/order", "/search", "/report", "/order", "/search", "/reprice"};
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    for (unsigned i = 0; std::chrono::steady_clock::now() < end; i++) {
        {
            std::lock_guard<std::mutex> guard(incoming.mutex);
            if (incoming.requests.size() < 16)
                incoming.requests.push_back(routes[i % 6]);
        }
        incoming.some.notify_one();
        std::this_thread::sleep_for(300us);
    }
    std::lock_guard<std::mutex> guard(incoming.mutex);
    incoming.closed = true;
    incoming.some.notify_all();
}

} // namespace service

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    otelprof_options options = OTELPROF_OPTIONS_INIT;
    if (*argv[1])
        options.output_dir = argv[1];
    otelprof_lock_name(&service::inventory_mutex, "inventory");
    if (*argv[1] && otelprof_init(&options))
        std::fprintf(stderr, "lock_service: %s\n", otelprof_last_error());
    service::prices = {{"a", 0}, {"b", 0}};
    std::vector<std::thread> workers;
    for (int i = 0; i < 4; i++)
        workers.emplace_back(service::worker);
    service::send(std::atoi(argv[2]));
    for (auto &worker : workers)
        worker.join();
    std::printf("%ld orders, %ld reports, %ld wrong\n", service::ordered.load(), service::reported.load(),
                service::wrong.load());
    if (*argv[1] && otelprof_shutdown(20000))
        std::fprintf(stderr, "lock_service: %s\n", otelprof_last_error());
    return service::wrong != 0;
}

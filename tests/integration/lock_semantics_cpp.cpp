// SPDX-License-Identifier: Apache-2.0
// What C++ makes of locks, as text that is the same in each run.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

void say(const char *what, long value) { std::printf("C++: %s: %ld\n", what, value); }

template <class Mutex> long count_in_threads(Mutex &mutex) {
    long count = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] {
            for (int j = 0; j < 20000; j++) {
                std::lock_guard<Mutex> guard(mutex);
                count++;
            }
        });
    for (auto &thread : threads)
        thread.join();
    return count;
}

// Whether another thread gets it in time, while this one has it.
template <class Mutex> void timed(const char *name, Mutex &mutex) {
    bool early = true, late = false;
    mutex.lock();
    std::thread([&] { early = mutex.try_lock_for(10ms); }).join();
    std::thread waiter([&] {
        late = mutex.try_lock_until(std::chrono::steady_clock::now() + 60s);
        if (late)
            mutex.unlock();
    });
    std::this_thread::sleep_for(5ms);
    mutex.unlock();
    waiter.join();
    say(name, early * 10 + late);
}

void shared() {
    std::shared_mutex mutex;
    long value = 0;
    std::atomic<long> wrong{0};
    std::atomic<bool> over{false};
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; i++)
        readers.emplace_back([&] {
            while (!over) {
                {
                    std::shared_lock<std::shared_mutex> lock(mutex);
                    wrong += value % 2;
                }
                std::this_thread::sleep_for(20us); // readers come first: without a pause no writer ever would
            }
        });
    for (int i = 0; i < 2000; i++) {
        std::unique_lock<std::shared_mutex> lock(mutex);
        value++;
        std::this_thread::yield();
        value++;
    }
    over = true;
    for (auto &reader : readers)
        reader.join();
    say("shared_mutex", value);
    say("shared_mutex, wrong", wrong);
}

void conditions() {
    std::mutex mutex;
    std::condition_variable condition;
    std::condition_variable_any any;
    int turn = 0;
    std::thread other([&] {
        for (int i = 0; i < 500; i++) {
            std::unique_lock<std::mutex> lock(mutex);
            condition.wait(lock, [&] { return turn == 1; });
            turn = 0;
            any.notify_one();
        }
    });
    for (int i = 0; i < 500; i++) {
        std::unique_lock<std::mutex> lock(mutex);
        turn = 1;
        condition.notify_one();
        any.wait(lock, [&] { return turn == 0; });
    }
    other.join();
    std::unique_lock<std::mutex> lock(mutex);
    say("wait_for", condition.wait_for(lock, 10ms) == std::cv_status::timeout);
    say("owns", lock.owns_lock());
}

void errors() {
    std::mutex mutex, other;
    std::unique_lock<std::mutex> lock(mutex);
    try {
        lock.lock();
        say("locked twice", 1);
    } catch (const std::system_error &error) {
        say("locked twice", error.code() == std::errc::resource_deadlock_would_occur);
    }
    lock.unlock();
    std::once_flag once;
    int calls = 0;
    for (int i = 0; i < 3; i++) {
        try {
            std::call_once(once, [&] {
                if (++calls < 2)
                    throw std::runtime_error("again");
            });
        } catch (const std::runtime_error &) {
            say("once threw", calls);
        }
    }
    say("once", calls);
    std::vector<std::thread> threads;
    long count = 0;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&, i] {
            for (int j = 0; j < 5000; j++) {
                if (i % 2) {
                    std::scoped_lock both(mutex, other);
                    count++;
                } else {
                    std::scoped_lock both(other, mutex);
                    count++;
                }
            }
        });
    for (auto &thread : threads)
        thread.join();
    say("scoped_lock", count);
}

} // namespace

int main() {
    std::mutex mutex;
    std::recursive_mutex recursive;
    std::timed_mutex timed_mutex;
    std::recursive_timed_mutex recursive_timed;
    std::shared_timed_mutex shared_timed;
    say("mutex", count_in_threads(mutex));
    recursive.lock();
    recursive.lock();
    recursive.unlock();
    recursive.unlock();
    say("recursive_mutex", count_in_threads(recursive));
    timed("timed_mutex", timed_mutex);
    timed("recursive_timed_mutex", recursive_timed);
    timed("shared_timed_mutex", shared_timed);
    shared();
    conditions();
    errors();
}

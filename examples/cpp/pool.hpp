// SPDX-License-Identifier: Apache-2.0
/* A thread pool whose tasks go on in the span of whoever submitted them. */
#ifndef TILES_POOL_HPP
#define TILES_POOL_HPP

#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <otelprof/otelprof.hpp>

class pool {
  public:
    explicit pool(unsigned threads) {
        for (unsigned number = 0; number < threads; number++) {
            workers_.emplace_back([this, number] { work(number); });
        }
    }

    /* Runs what was submitted, then ends the threads. */
    ~pool() {
        {
            const std::lock_guard<std::mutex> guard(lock_);
            stopping_ = true;
        }
        filled_.notify_all();
        for (std::thread &worker : workers_) {
            worker.join();
        }
    }

    pool(const pool &) = delete;
    pool &operator=(const pool &) = delete;

    /* Runs `task` on some thread, in the submitter's span. The future becomes ready when it has run. */
    template <typename Task> std::future<void> submit(Task task) {
        std::packaged_task<void()> packaged([task = std::move(task), context = otelprof::context::capture()]() mutable {
            const otelprof::scoped_context attached(context);
            task();
        });
        std::future<void> done = packaged.get_future();
        {
            const std::lock_guard<std::mutex> guard(lock_);
            tasks_.push_back(std::move(packaged));
        }
        filled_.notify_one();
        return done;
    }

  private:
    void work(unsigned number) {
        otelprof::thread_name(("tiles-worker-" + std::to_string(number)).c_str());
        std::unique_lock<std::mutex> guard(lock_);
        for (;;) {
            filled_.wait(guard, [this] { return stopping_ || !tasks_.empty(); });
            if (tasks_.empty()) {
                return;
            }
            std::packaged_task<void()> task = std::move(tasks_.front());
            tasks_.pop_front();
            guard.unlock();
            task();
            guard.lock();
        }
    }

    std::mutex lock_;
    std::condition_variable filled_;
    std::deque<std::packaged_task<void()>> tasks_;
    bool stopping_ = false;
    std::vector<std::thread> workers_;
};

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * otelprof for C++17: scoped forms of the C calls of <otelprof/otelprof.h>. Header only; link the same library.
 *
 *     #include <otelprof/otelprof.hpp>
 *
 *     int main() {
 *         otelprof::session profiler;                            // everything from the environment
 *         ...
 *         {
 *             static const otelprof::attribute_key route("http.route");
 *             otelprof::span span(trace_id, span_id);             // this thread works for that span ...
 *             span.attribute(route, "/users/{id}");
 *             pool.submit([context = otelprof::context::capture()] {
 *                 otelprof::scoped_context attached(context);     // ... and so does this one, for a while
 *                 work();
 *             });
 *         }                                                      // the span ends here, on every way out
 *     }                                                          // the session ends here: the last window is written
 *
 * What the C header promises holds here too: each call is safe in every state, from every thread, and a profiler
 * that could not start changes nothing for the program. Everything is noexcept, except diagnose() and the
 * functions that return a std::string, which may throw std::bad_alloc. Works with -fno-exceptions and -fno-rtti.
 *
 * Spans and attached contexts belong to the thread that made them, and nest like the scopes that hold them:
 * they may be moved within their thread, never to another one (a move across threads ends as OTELPROF_E_ORDER,
 * counted and harmless). What crosses threads is otelprof::context.
 */
#ifndef OTELPROF_OTELPROF_HPP
#define OTELPROF_OTELPROF_HPP

#if !defined(__cplusplus) || __cplusplus < 201703L
#error "otelprof.hpp needs C++17; C programs include otelprof.h"
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/* The C header has a struct and a function of one name, which -Wshadow of g++ takes for a hidden constructor. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#include <otelprof/otelprof.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace otelprof {

/* Bytes in the order of their hex form, as in W3C traceparent. Since 0.1. */
using trace_id = std::array<std::uint8_t, 16>;
using span_id = std::array<std::uint8_t, 8>;

/* ----------------------------------------------------------------------------------------- lifecycle */

/* Options with every field unset, for filling in and giving to a session. Since 0.1. */
[[nodiscard]] inline otelprof_options make_options() noexcept { return OTELPROF_OPTIONS_INIT; }

/*
 * The profiler of this process, from construction to destruction: otelprof_init() and otelprof_shutdown(). A
 * program has one; a second one while the first runs gets OTELPROF_E_ALREADY and stops nothing when it ends.
 * Put it first in main(), so that it ends after the threads that it profiles. Since 0.1.
 */
class session {
  public:
    /* Starts profiling from the environment. The profiler not starting is no error of the program: see error(). */
    session() noexcept : error_(otelprof_init(nullptr)) {}

    /* Starts profiling with `options`, which are copied. Waits `shutdown_timeout_ms` at most when it ends. */
    explicit session(const otelprof_options &options, std::uint32_t shutdown_timeout_ms = 5000) noexcept
        : error_(otelprof_init(&options)), timeout_ms_(shutdown_timeout_ms) {}

    session(session &&other) noexcept
        : error_(std::exchange(other.error_, static_cast<int>(OTELPROF_E_STATE))), timeout_ms_(other.timeout_ms_) {}
    session &operator=(session &&other) noexcept {
        if (this != &other) {
            (void)stop();
            error_ = std::exchange(other.error_, static_cast<int>(OTELPROF_E_STATE));
            timeout_ms_ = other.timeout_ms_;
        }
        return *this;
    }
    session(const session &) = delete;
    session &operator=(const session &) = delete;

    ~session() { (void)stop(); }

    /* Whether this object started the profiler, or is still starting it, and has not stopped it. */
    [[nodiscard]] bool owns() const noexcept { return error_ >= 0 || error_ == OTELPROF_E_TIMEOUT; }
    [[nodiscard]] explicit operator bool() const noexcept { return owns(); }

    /* What otelprof_init() answered: 0, or a negative otelprof_error; OTELPROF_E_STATE after stop() or a move. */
    [[nodiscard]] int error() const noexcept { return error_; }

    /* Ends the session before its scope does. What otelprof_shutdown() answered; OTELPROF_E_STATE if not owner. */
    int stop() noexcept {
        if (!owns()) {
            return OTELPROF_E_STATE;
        }
        error_ = OTELPROF_E_STATE;
        return otelprof_shutdown(timeout_ms_);
    }

  private:
    int error_;
    std::uint32_t timeout_ms_ = 5000;
};

/* --------------------------------------------------------------------------------------------- spans */

/*
 * The index of an attribute's name, looked up once: make it `static const`. An index that could not be had (256
 * keys are the limit) makes the calls that use it answer OTELPROF_E_INVALID. Since 0.1.
 */
class attribute_key {
  public:
    explicit attribute_key(const char *name) noexcept : index_(otelprof_attribute_key(name)) {}
    [[nodiscard]] int index() const noexcept { return index_; }
    [[nodiscard]] bool valid() const noexcept { return index_ >= 0; }

  private:
    int index_;
};

/*
 * Sets an attribute of the calling thread's active context, whoever entered it; as otelprof_span_attribute_key()
 * and otelprof_span_attribute(). 0 or a negative otelprof_error. Since 0.1.
 */
inline int attribute(const attribute_key &key, std::string_view value) noexcept {
    return otelprof_span_attribute_key(key.index(), value.data(), value.size());
}
inline int attribute(const char *name, std::string_view value) noexcept {
    return attribute(attribute_key(name), value);
}

/* The calling thread works for a span, from construction to destruction. Since 0.1. */
class span {
  public:
    /* As otelprof_span_enter(). */
    span(const trace_id &trace, const span_id &id, std::uint8_t flags = OTELPROF_FLAG_SAMPLED) noexcept
        : token_(otelprof_span_enter(trace.data(), id.data(), flags)) {}

    span(span &&other) noexcept : token_(std::exchange(other.token_, otelprof_span_token{})) {}
    span &operator=(span &&other) noexcept {
        if (this != &other) {
            (void)exit();
            token_ = std::exchange(other.token_, otelprof_span_token{});
        }
        return *this;
    }
    span(const span &) = delete;
    span &operator=(const span &) = delete;

    ~span() { (void)exit(); }

    /* Sets an attribute of the innermost active span of this thread: call it while this span is that one. */
    int attribute(const attribute_key &key, std::string_view value) noexcept { return otelprof::attribute(key, value); }
    int attribute(const char *name, std::string_view value) noexcept { return otelprof::attribute(name, value); }

    /* Ends the span before its scope does. 0, or OTELPROF_E_ORDER; a second call does nothing and answers 0. */
    int exit() noexcept {
        const otelprof_span_token token = std::exchange(token_, otelprof_span_token{});
        return token.place == 0 && token.serial == 0 ? static_cast<int>(OTELPROF_OK) : otelprof_span_exit(token);
    }

  private:
    otelprof_span_token token_;
};

/* -------------------------------------------------------------------------------- contexts and threads */

/* A thread's whole context (ids, flags, attributes), as a value that goes along with a task. Since 0.1. */
class context {
  public:
    /* An empty one: "no span". */
    context() noexcept : value_{} {}

    /* The calling thread's; an empty one if no span is active. */
    [[nodiscard]] static context capture() noexcept {
        context taken;
        otelprof_context_capture(&taken.value_);
        return taken;
    }

    [[nodiscard]] const otelprof_context &get() const noexcept { return value_; }

  private:
    otelprof_context value_;
};

/* The calling thread works in a context that was captured anywhere, from construction to destruction. Since 0.1. */
class scoped_context {
  public:
    /* As otelprof_context_attach(). The context is copied. */
    explicit scoped_context(const context &from) noexcept : token_(otelprof_context_attach(&from.get())) {}

    scoped_context(scoped_context &&other) noexcept : token_(std::exchange(other.token_, otelprof_span_token{})) {}
    scoped_context &operator=(scoped_context &&other) noexcept {
        if (this != &other) {
            (void)detach();
            token_ = std::exchange(other.token_, otelprof_span_token{});
        }
        return *this;
    }
    scoped_context(const scoped_context &) = delete;
    scoped_context &operator=(const scoped_context &) = delete;

    ~scoped_context() { (void)detach(); }

    /* Goes back before the scope ends. 0, or OTELPROF_E_ORDER; a second call does nothing and answers 0. */
    int detach() noexcept {
        const otelprof_span_token token = std::exchange(token_, otelprof_span_token{});
        return token.place == 0 && token.serial == 0 ? static_cast<int>(OTELPROF_OK) : otelprof_context_detach(token);
    }

  private:
    otelprof_span_token token_;
};

/* Names the calling thread; as otelprof_thread_name(). Since 0.1. */
inline int thread_name(const char *name) noexcept { return otelprof_thread_name(name); }

/* What a W3C traceparent header says. Since 0.1. */
struct traceparent {
    trace_id trace{};
    span_id parent{};
    std::uint8_t flags = 0;

    /* Nothing for a header that is not valid. */
    [[nodiscard]] static std::optional<traceparent> parse(std::string_view header) noexcept {
        traceparent parsed;
        if (otelprof_traceparent_parse(header.data(), header.size(), parsed.trace.data(), parsed.parent.data(),
                                       &parsed.flags) < 0) {
            return std::nullopt;
        }
        return parsed;
    }

    /* The header's value, version 00; empty for all-zero ids. May throw std::bad_alloc. */
    [[nodiscard]] std::string format() const {
        char text[OTELPROF_TRACEPARENT_SIZE];
        if (otelprof_traceparent_format(trace.data(), parent.data(), flags, text) < 0) {
            return std::string();
        }
        return std::string(text);
    }
};

/* -------------------------------------------------------------------------------------------- observe */

/* The present state; as otelprof_state(). Since 0.1. */
[[nodiscard]] inline enum ::otelprof_state state() noexcept { return otelprof_state(); }

/* Every counter; as otelprof_stats(). Since 0.1. */
[[nodiscard]] inline struct ::otelprof_stats stats() noexcept {
    struct ::otelprof_stats counters {};
    counters.size = sizeof counters;
    (void)::otelprof_stats(&counters);
    return counters;
}

/* State, rung, reason and remedy as text; as otelprof_diagnose(). May throw std::bad_alloc. Since 0.1. */
[[nodiscard]] inline std::string diagnose() {
    std::string text(otelprof_diagnose(nullptr, 0), '\0');
    const std::size_t length = otelprof_diagnose(text.data(), text.size() + 1);
    text.resize(length < text.size() ? length : text.size());
    return text;
}

} // namespace otelprof

#endif

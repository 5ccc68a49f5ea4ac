// SPDX-License-Identifier: Apache-2.0
#include "export/sender.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/random.h"

#define NANOS_PER_S ((uint64_t)1000000000)
#define ATTEMPT_NS (10 * NANOS_PER_S)
#define BACKOFF_NS NANOS_PER_S
#define BACKOFF_MAX_NS (30 * NANOS_PER_S)
#define GIVE_UP_NS (300 * NANOS_PER_S)
#define SAY_AGAIN_NS (60 * NANOS_PER_S)

/* Kinds of message beside the receiver's codes. */
enum { KIND_WORKS = UINT32_MAX, KIND_WARNING = UINT32_MAX - 1 };

void otp_sender_init(struct otp_sender *sender, struct otp_exporter *exporter, const struct otp_sender_limits *limits,
                     const struct otp_sender_host *host) {
    *sender = (struct otp_sender){.exporter = exporter, .limits = *limits, .host = *host};
    if (!sender->limits.attempt_ns)
        sender->limits.attempt_ns = ATTEMPT_NS;
    if (!sender->limits.backoff_ns)
        sender->limits.backoff_ns = BACKOFF_NS;
    if (!sender->limits.backoff_max_ns)
        sender->limits.backoff_max_ns = BACKOFF_MAX_NS;
    if (!sender->limits.give_up_ns)
        sender->limits.give_up_ns = GIVE_UP_NS;
    /* Processes of one family start together, and shall not come back together. */
    sender->random = otp_clock_ns(CLOCK_REALTIME) ^ (uint64_t)(uintptr_t)sender << 20;
}

/* ---------------------------------------------------------------------------------------------- messages */

/* Whether this kind may be said now; `held`: how many of it were not said before. */
static bool may_say(struct otp_sender *sender, uint32_t code, uint64_t now, uint32_t *held) {
    size_t place = OTP_SENDER_KINDS, oldest = 0;
    for (size_t i = 0; i < OTP_SENDER_KINDS && place == OTP_SENDER_KINDS; i++) {
        if (sender->kinds[i].said_ns && sender->kinds[i].code == code)
            place = i;
        if (sender->kinds[i].said_ns < sender->kinds[oldest].said_ns)
            oldest = i;
    }
    bool known = place < OTP_SENDER_KINDS;
    if (!known)
        place = oldest;
    bool late = !sender->kinds[place].said_ns || now - sender->kinds[place].said_ns >= SAY_AGAIN_NS;
    if (!late) { /* or there are more kinds in a minute than places: those are not said */
        sender->kinds[place].held += known;
        return false;
    }
    *held = known ? sender->kinds[place].held : 0;
    sender->kinds[place].code = code;
    sender->kinds[place].held = 0;
    sender->kinds[place].said_ns = now;
    return true;
}

static void say(struct otp_sender *sender, enum otelprof_log_level level, uint32_t code, const char *text,
                const char *consequence) {
    uint32_t held = 0;
    char more[64] = "";
    if (!may_say(sender, code, otp_clock_ns(CLOCK_MONOTONIC), &held))
        return;
    if (held)
        snprintf(more, sizeof(more), " (%" PRIu32 " more of this kind were not said)", held);
    otp_log(level, "otelprof: export to %s%s%s%s%s", sender->exporter->name, text, *consequence ? "; " : "",
            consequence, more);
}

static void say_trouble(struct otp_sender *sender, const struct otp_answer *answer, const char *consequence) {
    char text[OTP_ANSWER_TEXT + 8];
    snprintf(text, sizeof(text), ": %s", answer->text[0] ? answer->text : otp_error_text());
    say(sender, OTELPROF_LOG_WARN, answer->code, text, consequence);
}

static void say_again(struct otp_sender *sender, const struct otp_answer *answer, uint64_t pause_ns) {
    char consequence[64];
    snprintf(consequence, sizeof(consequence), "next attempt in %.1f s", (double)pause_ns / (double)NANOS_PER_S);
    say_trouble(sender, answer, consequence);
}

static void say_delivered(struct otp_sender *sender, const struct otp_answer *answer) {
    char text[OTP_ANSWER_TEXT + 64];
    if (sender->failures)
        say(sender, OTELPROF_LOG_INFO, KIND_WORKS, " works again", "");
    bool partial = answer->rejected_profiles || answer->text[0];
    if (!partial || sender->told_partial)
        return;
    sender->told_partial = true;
    if (answer->rejected_profiles)
        snprintf(text, sizeof(text), ": %" PRIu64 " profiles of a request were rejected: %s", answer->rejected_profiles,
                 answer->text[0] ? answer->text : "no reason given");
    else
        snprintf(text, sizeof(text), ": everything was taken, with a warning: %s", answer->text);
    say(sender, OTELPROF_LOG_WARN, KIND_WARNING, text, "said once, counted from here on");
}

/* ------------------------------------------------------------------------------------------------ pauses */

/* Between half and one and a half of 1.5 to the power of the failures so far. */
static uint64_t backoff(struct otp_sender *sender) {
    uint64_t pause = sender->limits.backoff_ns;
    for (uint32_t i = 1; i < sender->failures && pause < sender->limits.backoff_max_ns; i++)
        pause += pause / 2;
    if (pause > sender->limits.backoff_max_ns)
        pause = sender->limits.backoff_max_ns;
    return pause / 2 + otp_random(&sender->random) % (pause + 1);
}

/* How long to wait after this answer. The receiver's wish is a floor: coming later than it asks is allowed. */
static uint64_t pause_after(struct otp_sender *sender, const struct otp_answer *answer, uint64_t now) {
    uint64_t pause = backoff(sender);
    uint64_t wish = answer->wait_ns < OTP_SENDER_WAIT_MAX_NS ? answer->wait_ns : OTP_SENDER_WAIT_MAX_NS;
    if (wish)
        sender->not_before_ns = now + wish;
    return wish > pause ? wish + pause % (sender->limits.backoff_ns / 2 + 1) : pause;
}

/* --------------------------------------------------------------------------------------------- attempts */

static enum otp_delivery attempt(struct otp_sender *sender, const void *bytes, size_t size, struct otp_answer *answer) {
    struct otp_exporter *exporter = sender->exporter;
    uint64_t latest = otp_clock_ns(CLOCK_MONOTONIC) + sender->limits.attempt_ns;
    memset(answer, 0, sizeof(*answer));
    return exporter->ops->send(exporter, bytes, size, sender->host.deadline(sender->host.user, latest), answer);
}

static bool ends(enum otp_delivery delivery, const struct otp_answer *answer) {
    if (delivery == OTP_DELIVERY_UNKNOWN)
        return answer->final;
    return delivery != OTP_DELIVERY_RETRY;
}

/* Whether the receiver may be asked now; waits until it wants to be. */
static bool may_ask(struct otp_sender *sender) {
    uint64_t now = otp_clock_ns(CLOCK_MONOTONIC);
    return now >= sender->not_before_ns || sender->host.pause(sender->host.user, sender->not_before_ns);
}

static bool stops(const struct otp_sender *sender) {
    return sender->host.deadline(sender->host.user, UINT64_MAX) != UINT64_MAX;
}

/* No time is left for an attempt. */
static bool is_over(const struct otp_sender *sender) {
    return sender->host.deadline(sender->host.user, UINT64_MAX) <= otp_clock_ns(CLOCK_MONOTONIC);
}

struct otp_sent otp_sender_send(struct otp_sender *sender, const void *bytes, size_t size) {
    struct otp_sent sent = {.delivery = OTP_DELIVERY_FAILED};
    struct otp_answer answer;
    bool unknown = false;
    uint64_t begin = otp_clock_ns(CLOCK_MONOTONIC);
    if (!may_ask(sender) || is_over(sender))
        return sent;
    for (;; sender->attempts++) {
        sent.delivery = attempt(sender, bytes, size, &answer);
        sender->bytes_sent += answer.bytes_sent;
        unknown |= sent.delivery == OTP_DELIVERY_UNKNOWN;
        if (sent.delivery == OTP_DELIVERED) {
            say_delivered(sender, &answer);
            sender->failures = 0;
            sent.rejected_profiles = answer.rejected_profiles;
            return sent;
        }
        sender->failures += sent.delivery != OTP_DELIVERY_TOO_LARGE;
        uint64_t now = otp_clock_ns(CLOCK_MONOTONIC), pause = pause_after(sender, &answer, now);
        if (ends(sent.delivery, &answer)) {
            say_trouble(sender, &answer, sent.delivery == OTP_DELIVERY_TOO_LARGE ? "smaller requests follow" : "");
            break;
        }
        if (now + pause - begin > sender->limits.give_up_ns) {
            say_trouble(sender, &answer, "given up");
            break;
        }
        if (stops(sender)) {
            say_trouble(sender, &answer, "no other attempt, as otelprof stops");
            break;
        }
        say_again(sender, &answer, pause);
        if (!sender->host.pause(sender->host.user, now + pause))
            break;
    }
    if (unknown)
        sent.delivery = OTP_DELIVERY_UNKNOWN;
    else if (sent.delivery == OTP_DELIVERY_RETRY)
        sent.delivery = OTP_DELIVERY_FAILED;
    return sent;
}

// SPDX-License-Identifier: Apache-2.0
#include "export/queue.h"

void otp_queue_init(struct otp_queue *queue, size_t bytes_limit) {
    *queue = (struct otp_queue){.bytes_limit = bytes_limit};
}

bool otp_queue_fits(const struct otp_queue *queue, size_t bytes) {
    return queue->count < OTP_QUEUE_WINDOWS_MAX && bytes <= queue->bytes_limit &&
           queue->bytes <= queue->bytes_limit - bytes;
}

void otp_queue_put(struct otp_queue *queue, struct otp_window *window, uint64_t ticket, size_t bytes) {
    uint32_t place = (queue->first + queue->count++) % OTP_QUEUE_WINDOWS_MAX;
    queue->entries[place] = (struct otp_queue_entry){window, ticket, bytes};
    queue->bytes += bytes;
}

struct otp_queue_entry otp_queue_take(struct otp_queue *queue) {
    if (!queue->count)
        return (struct otp_queue_entry){0};
    struct otp_queue_entry entry = queue->entries[queue->first];
    queue->first = (queue->first + 1) % OTP_QUEUE_WINDOWS_MAX;
    queue->count--;
    queue->bytes -= entry.bytes;
    return entry;
}

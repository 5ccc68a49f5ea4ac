// SPDX-License-Identifier: Apache-2.0
/* Answers of receivers: headers and bodies, over HTTP and gRPC. The input: a line a header value, then the body. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "network/redact.h"
#include "network/reply.h"

#define LINES 6

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct otp_answer *answer) {
    if (!memchr(answer->text, 0, sizeof(answer->text)))
        abort(); /* a text without an end */
    for (const char *c = answer->text; *c; c++)
        if ((unsigned char)*c < ' ')
            abort(); /* more than one line */
}

/* Not strndup(): the input has no end that a strict sanitizer would find. */
static char *text_of(const uint8_t *bytes, size_t size) {
    char *text = malloc(size + 1);
    if (!text)
        abort();
    memcpy(text, bytes, size);
    text[size] = 0;
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *lines[LINES] = {NULL};
    const uint8_t *end = data + size;
    size_t count = 0;
    for (; count < LINES; count++) {
        const uint8_t *newline = memchr(data, '\n', (size_t)(end - data));
        if (!newline)
            break;
        lines[count] = newline > data ? text_of(data, (size_t)(newline - data)) : NULL;
        data = newline + 1;
    }
    const struct otp_reply reply = {
        .http_status = lines[0] ? strtol(lines[0], NULL, 10) : 200,
        .content_type = lines[1],
        .retry_after = lines[2],
        .grpc_status = lines[3],
        .grpc_message = lines[4],
        .grpc_details = lines[5],
        .body = data,
        .body_size = (size_t)(end - data),
    };
    struct otp_answer answer = {0};
    otp_reply_http(&reply, &answer);
    check(&answer);
    answer = (struct otp_answer){0};
    otp_reply_grpc(&reply, &answer);
    otp_redact(answer.text, lines[4] ? lines[4] : "authorization: Bearer secret\n");
    check(&answer);
    for (size_t i = 0; i < count; i++)
        free(lines[i]);
    return 0;
}

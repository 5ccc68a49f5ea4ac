// SPDX-License-Identifier: Apache-2.0
/* Posts to a receiver that answers once, and then says nothing more. */
#include <arpa/inet.h>
#include <check.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "network/transfer.h"
#include "test_main.h"

static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\nretry-after: 7\r\n"
                             "content-length: 0\r\n\r\n";

struct receiver {
    int listener;
    char url[64];
};

static void listen_anywhere(struct receiver *receiver) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    receiver->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(receiver->listener, (struct sockaddr *)&address, size), 0);
    ck_assert_int_eq(listen(receiver->listener, 4), 0);
    ck_assert_int_eq(getsockname(receiver->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(receiver->url, sizeof(receiver->url), "http://127.0.0.1:%d", ntohs(address.sin_port));
}

static void *answer_once(void *argument) {
    char request[4096];
    const struct receiver *receiver = argument;
    int connection = accept(receiver->listener, NULL, NULL);
    size_t size = 0;
    ssize_t got = 1;
    while (got > 0 && !memmem(request, size, "the body", 8)) {
        got = read(connection, request + size, sizeof(request) - size);
        size += got > 0 ? (size_t)got : 0;
    }
    ck_assert_int_eq(write(connection, answer, sizeof(answer) - 1), sizeof(answer) - 1);
    return NULL; /* the connection stays open */
}

static uint64_t in_ms(uint64_t milliseconds) { return otp_clock_ns(CLOCK_MONOTONIC) + milliseconds * 1000000; }

static struct otp_transfer *transfer_to(const char *url) {
    const struct otp_network_options options = {.endpoint = url,
                                                .protocol = OTP_PROTOCOL_HTTP,
                                                .headers = "",
                                                .certificate = "",
                                                .client_certificate = "",
                                                .client_key = "",
                                                .proxy = "",
                                                .no_proxy = "",
                                                .timeout_ns = 5000000000u};
    struct otp_endpoint endpoint;
    struct otp_transfer *transfer = NULL;
    char error[200];
    ck_assert_int_eq(otp_endpoint_find(&options, &endpoint, error, sizeof(error)), 0);
    ck_assert_int_eq(otp_transfer_new(&options, &endpoint, &transfer, error, sizeof(error)), 0);
    return transfer;
}

/*
 * libcurl keeps the headers and the status of the answer before, until a transfer has begun; and closes sockets that
 * wait for a connection without telling, which must not look as if the host had.
 */
START_TEST(answer_is_never_that_of_the_request_before) {
    struct receiver receiver;
    pthread_t thread;
    uint8_t bytes[] = "the body";
    const struct otp_body body = {.bytes = bytes, .size = sizeof(bytes)};
    struct otp_transfer_result result;
    struct otp_reply reply;
    listen_anywhere(&receiver);
    ck_assert_int_eq(pthread_create(&thread, NULL, answer_once, &receiver), 0);
    struct otp_transfer *transfer = transfer_to(receiver.url);
    otp_transfer_post(transfer, &body, in_ms(5000), &result, &reply);
    ck_assert_int_eq(result.code, CURLE_OK);
    ck_assert_int_eq(reply.http_status, 200);
    ck_assert_str_eq(reply.retry_after, "7");
    ck_assert(result.sent);
    pthread_join(thread, NULL);
    for (uint64_t us = 0; us < 3000; us += 50) { /* the time is over before, while, and after it begins */
        uint64_t deadline = otp_clock_ns(CLOCK_MONOTONIC) + us * 1000;
        otp_transfer_post(transfer, &body, deadline, &result, &reply);
        ck_assert_msg(result.code == CURLE_OPERATION_TIMEDOUT, "after %d us: %s", (int)us, result.error);
        ck_assert_int_eq(reply.http_status, 0);
        ck_assert_ptr_null(reply.retry_after);
        ck_assert_ptr_null(reply.content_type);
    }
    otp_transfer_hurry(transfer, in_ms(0)); /* for this and all after */
    otp_transfer_post(transfer, &body, in_ms(5000), &result, &reply);
    ck_assert_int_eq(result.code, CURLE_OPERATION_TIMEDOUT);
    ck_assert_int_eq(reply.http_status, 0);
    otp_transfer_free(transfer);
    close(receiver.listener);
}
END_TEST

OTP_TEST_MAIN("network_transfer", 60, answer_is_never_that_of_the_request_before)

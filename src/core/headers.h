// SPDX-License-Identifier: Apache-2.0
/* Headers that the user wants with each request. They hold secrets: no message says what they are. */
#ifndef OTP_CORE_HEADERS_H
#define OTP_CORE_HEADERS_H

#define OTP_HEADER_NAME 32

/*
 * "name=value,..." (percent-encoded) as lines "name: value\n", names in lower case as HTTP/2 wants them. *lines is for
 * otp_headers_free(). What the exporter says itself (how the body is framed and encoded) is left out: `left_out` gets
 * the name of the last such header, or "". 0; OTELPROF_E_INVALID if something is no header that HTTP allows;
 * OTELPROF_E_MEMORY.
 */
int otp_headers_lines(const char *list, char **lines, char left_out[OTP_HEADER_NAME]);

/* Overwrites it first. Takes NULL. */
void otp_headers_free(char *lines);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Keeps secrets out of messages: a receiver may repeat in an error what it was sent in a header. */
#ifndef OTP_NETWORK_REDACT_H
#define OTP_NETWORK_REDACT_H

/*
 * Replaces in `text`, in place, the values of the header lines ("name: value\n"), and the words in them, by "***".
 * Those of less than 4 bytes stay: they are no secrets, and could be found in any word.
 */
void otp_redact(char *text, const char *header_lines);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Lists of OpenTelemetry's variables: "key=value,key=value", keys and values percent-encoded, white space around them
 * without meaning.
 */
#ifndef OTP_BASE_PAIRS_H
#define OTP_BASE_PAIRS_H

/*
 * Cuts the next pair out of *list, which it changes, and moves *list on. Keys and values are decoded in place. 1; 0 at
 * the end; -1 for what is no pair, a bad escape, or an escaped zero byte.
 */
int otp_pairs_next(char **list, char **key, char **value);

#endif

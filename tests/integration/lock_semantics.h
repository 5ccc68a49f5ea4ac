// SPDX-License-Identifier: Apache-2.0
/* How lock_semantics takes profiles: not at all, or by the library that it is linked with. */
#ifndef OTP_TESTS_LOCK_SEMANTICS_H
#define OTP_TESTS_LOCK_SEMANTICS_H

/* Starts, with every wait a sample, and switches the lock profile on and off from then on. Not 0: it cannot. */
int semantics_profile(const char *directory);

/* Ends it. Not 0, with a message: hooks were not at work. */
int semantics_end(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/*
 * Finds another copy of the library in this process (a plugin with a static one, say): each running copy keeps a
 * mapping with a name that the others can see.
 */
#ifndef OTP_CORE_IDENTITY_MARKER_H
#define OTP_CORE_IDENTITY_MARKER_H

/*
 * Puts our mark up. 0; OTELPROF_E_ALREADY: another copy runs here. Without /proc or memfd nobody can be seen, and 0 is
 * returned. One caller at a time.
 */
int otp_identity_marker_set(void);

/* Takes our mark down. */
void otp_identity_marker_clear(void);

/* In a forked child, where the mark is not mapped: forgets it. Async-signal-safe. */
void otp_identity_marker_forget(void);

#endif

// SPDX-License-Identifier: Apache-2.0
/* Finds and loads the object that holds the network exporter (export/network.h). */
#ifndef OTP_CORE_NETWORK_OBJECT_H
#define OTP_CORE_NETWORK_OBJECT_H

#include "export/network.h"

/*
 * Loads the object, once a process, and lets it prepare. Takes the loader's lock: on the caller's thread of
 * otelprof_init() only. Looks at $OTELPROF_NETWORK_OBJECT, beside the object that holds this code, and along the
 * loader's path. 0; OTELPROF_E_EXPORT with a sentence when there is no such object, when it is of another release, or
 * when the program has nothing shared and cannot load anything; or what prepare() said.
 */
int otp_network_object_load(const struct otp_network **network);

#endif

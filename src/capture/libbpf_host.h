// SPDX-License-Identifier: Apache-2.0
/* What our copy of libbpf gets from us: where it prints, and its memory. */
#ifndef OTP_CAPTURE_LIBBPF_HOST_H
#define OTP_CAPTURE_LIBBPF_HOST_H

/* Before a load: its messages go to our log, and the host's limits stay as they are. */
void otp_libbpf_host_set_up(void);

#endif

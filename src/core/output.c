// SPDX-License-Identifier: Apache-2.0
#include "core/output.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"
#include "export/callback.h"
#include "export/file.h"
#include "export/tee.h"

#define NANOS_PER_MS 1000000u

static int open_files(const struct otelprof_options *options, struct otp_exporter **exporter) {
    const struct otp_file_options file = {
        .directory = options->output_dir,
        .max_bytes = (uint64_t)options->output_max_bytes,
        .max_files = (uint32_t)options->output_max_files,
        .pid = (uint32_t)getpid(),
        .start_unix_ms = otp_clock_ns(CLOCK_REALTIME) / NANOS_PER_MS,
    };
    return otp_file_exporter_new(&file, exporter);
}

static enum otp_protocol protocol_of(const struct otelprof_options *options) {
    if (options->protocol == OTELPROF_UNSET)
        return OTP_PROTOCOL_UNSET;
    return options->protocol == OTELPROF_PROTOCOL_HTTP ? OTP_PROTOCOL_HTTP : OTP_PROTOCOL_GRPC;
}

static int open_network(const struct otp_output_choice *choice, struct otp_exporter **exporter) {
    const struct otelprof_options *options = &choice->settings->options;
    const struct otp_network_options network = {
        .endpoint = options->endpoint,
        .endpoint_exact = choice->settings->endpoint_exact,
        .protocol = protocol_of(options),
        .insecure = options->insecure != 0,
        .gzip = options->compression == OTELPROF_COMPRESSION_GZIP,
        .headers = choice->settings->header_lines,
        .certificate = options->certificate,
        .client_certificate = options->client_certificate,
        .client_key = options->client_key,
        .proxy = options->proxy,
        .no_proxy = choice->settings->no_proxy,
        .timeout_ns = (uint64_t)options->export_timeout_ms * NANOS_PER_MS,
        .memory_bytes = choice->network_memory,
        .thread_overhead = otp_thread_overhead(),
        .thread_begins = otp_thread_becomes_ours,
    };
    char error[200] = "";
    int result = choice->network->open(&network, exporter, error, sizeof(error));
    return result ? otp_error(result, "%s", error) : 0;
}

int otp_output_open(const struct otp_output_choice *choice, struct otp_exporter **exporter) {
    const struct otp_settings *settings = choice->settings;
    struct otp_exporter *files = NULL, *network = NULL;
    if (settings->options.export_bytes)
        return otp_callback_exporter_new(settings->options.export_bytes, settings->options.export_user, exporter);
    int result = settings->to_network ? open_network(choice, &network) : 0;
    if (!result && settings->to_files)
        result = open_files(&settings->options, &files);
    if (!result && files && network)
        return otp_tee_exporter_new(network, files, exporter);
    *exporter = files ? files : network;
    if (result && network)
        network->ops->close(network);
    return result;
}

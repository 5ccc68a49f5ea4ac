// SPDX-License-Identifier: Apache-2.0
/* A host that may run with rights which its caller has not: elevated_host ENDPOINT. Says how the start ended. */
#include <stdio.h>
#include <unistd.h>

#include <otelprof/otelprof.h>

int main(int argc, char **argv) {
    struct otelprof_options options = OTELPROF_OPTIONS_INIT;
    if (argc != 2)
        return 2;
    options.endpoint = argv[1];
    int result = otelprof_init(&options);
    printf("caller %u, rights of %u: %s\n", getuid(), geteuid(), result ? otelprof_last_error() : "profiling");
    otelprof_shutdown(500);
    return 0;
}

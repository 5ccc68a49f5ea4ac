// SPDX-License-Identifier: Apache-2.0
/* Feeds bytes to the reader of traceparent headers; what it accepts must come back the same from the writer. */
#include <stdlib.h>
#include <string.h>

#include <otelprof/otelprof.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data;
    uint8_t trace[16], span[8], flags;
    if (otelprof_traceparent_parse(text, size, trace, span, &flags))
        return 0;
    char again[OTELPROF_TRACEPARENT_SIZE];
    if (size < 55 || otelprof_traceparent_format(trace, span, flags, again))
        abort();
    /* Ids stand where they stood; the version becomes 00 and unknown flags go. */
    if (memcmp(again, "00-", 3) || memcmp(again + 3, text + 3, 50) || strlen(again) != 55)
        abort();
    uint8_t trace2[16], span2[8], flags2;
    if (otelprof_traceparent_parse(again, 55, trace2, span2, &flags2) || memcmp(trace, trace2, 16) ||
        memcmp(span, span2, 8) || flags != flags2)
        abort();
    return 0;
}

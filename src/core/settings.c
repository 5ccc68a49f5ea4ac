// SPDX-License-Identifier: Apache-2.0
#include "core/settings.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>

#include "base/error.h"
#include "base/sys.h"
#include "core/headers.h"

struct choice {
    const char *name;
    int64_t value;
};

static const struct choice details[] = {
    {"full", OTELPROF_DETAIL_FULL}, {"named", OTELPROF_DETAIL_NAMED}, {"merged", OTELPROF_DETAIL_MERGED}, {NULL, 0}};
static const struct choice fork_modes[] = {{"off", OTELPROF_FORK_OFF}, {"follow", OTELPROF_FORK_FOLLOW}, {NULL, 0}};
static const struct choice log_levels[] = {{"error", OTELPROF_LOG_ERROR},
                                           {"warn", OTELPROF_LOG_WARN},
                                           {"info", OTELPROF_LOG_INFO},
                                           {"debug", OTELPROF_LOG_DEBUG},
                                           {NULL, 0}};
static const struct choice switches[] = {{"1", 1},  {"0", 0},   {"true", 1}, {"false", 0},
                                         {"on", 1}, {"off", 0}, {NULL, 0}};
static const struct choice booleans[] = {{"true", 1}, {"false", 0}, {NULL, 0}}; /* as OpenTelemetry writes them */
static const struct choice protocols[] = {
    {"grpc", OTELPROF_PROTOCOL_GRPC}, {"http/protobuf", OTELPROF_PROTOCOL_HTTP}, {NULL, 0}};
static const struct choice heap_captures[] = {
    {"user", OTELPROF_HEAP_CAPTURE_USER}, {"bpf", OTELPROF_HEAP_CAPTURE_BPF}, {NULL, 0}};
static const struct choice compressions[] = {
    {"gzip", OTELPROF_COMPRESSION_GZIP}, {"none", OTELPROF_COMPRESSION_NONE}, {NULL, 0}};
static const struct choice profile_types[] = {{"cpu", OTELPROF_CPU},         {"wall", OTELPROF_WALL},
                                              {"heap", OTELPROF_HEAP},       {"lock", OTELPROF_LOCK},
                                              {"threads", OTELPROF_THREADS}, {NULL, 0}};

/* An integer option: its variables in the order in which they count, limits and default. */
struct number {
    size_t offset;
    const char *field;
    const char *variables[2];
    int64_t minimum, maximum, fallback;
    const struct choice *names; /* NULL: a decimal number */
};

#define NUMBER(field, variable, minimum, maximum, fallback, names)                                                     \
    { offsetof(struct otelprof_options, field), #field, {variable, NULL}, minimum, maximum, fallback, names }
#define OTLP_NUMBER(field, name, minimum, maximum, fallback, names)                                                    \
    {                                                                                                                  \
        offsetof(struct otelprof_options, field), #field,                                                              \
            {"OTEL_EXPORTER_OTLP_PROFILES_" name, "OTEL_EXPORTER_OTLP_" name}, minimum, maximum, fallback, names       \
    }
#define MIB ((int64_t)1 << 20)
#define EXPORT_TIMEOUT_MAX_MS 600000

static const struct number numbers[] = {
    NUMBER(rate_hz, "OTELPROF_RATE", 1, 10000, 99, NULL),
    NUMBER(window_ms, "OTELPROF_WINDOW_MS", 100, 600000, 10000, NULL),
    NUMBER(detail, "OTELPROF_DETAIL", 0, OTELPROF_DETAIL_MERGED, OTELPROF_DETAIL_FULL, details),
    NUMBER(kernel_frames, "OTELPROF_KERNEL_FRAMES", 0, 1, 1, switches),
    NUMBER(max_threads, "OTELPROF_MAX_THREADS", 16, 65536, 1024, NULL),
    NUMBER(memory_limit_bytes, "OTELPROF_MEMORY_LIMIT", 16 * MIB, INT64_MAX, 32 * MIB, NULL),
    NUMBER(start_timeout_ms, "OTELPROF_START_TIMEOUT_MS", 0, 600000, 2000, NULL),
    NUMBER(fork_mode, "OTELPROF_FORK", 0, OTELPROF_FORK_FOLLOW, OTELPROF_FORK_OFF, fork_modes),
    NUMBER(publish_context, "OTELPROF_PUBLISH_CONTEXT", 0, 1, 1, switches),
    NUMBER(output_max_bytes, "OTELPROF_OUTPUT_MAX_BYTES", 65536, INT64_MAX, 256 * MIB, NULL),
    NUMBER(output_max_files, "OTELPROF_OUTPUT_MAX_FILES", 1, 100000, 1000, NULL),
    NUMBER(ring_bytes, "OTELPROF_RING_BYTES", 0, 16 * MIB, 0, NULL),
    OTLP_NUMBER(protocol, "PROTOCOL", 0, OTELPROF_PROTOCOL_HTTP, OTELPROF_UNSET, protocols),
    OTLP_NUMBER(compression, "COMPRESSION", 0, OTELPROF_COMPRESSION_GZIP, OTELPROF_COMPRESSION_GZIP, compressions),
    OTLP_NUMBER(insecure, "INSECURE", 0, 1, 0, booleans),
    OTLP_NUMBER(export_timeout_ms, "TIMEOUT", 0, EXPORT_TIMEOUT_MAX_MS, 10000, NULL),
    NUMBER(heap_interval_bytes, "OTELPROF_HEAP_INTERVAL", 1, (int64_t)1 << 40, 512 << 10, NULL),
    NUMBER(heap_live_max, "OTELPROF_HEAP_LIVE_MAX", 256, 1 << 20, 16384, NULL),
    NUMBER(heap_capture, "OTELPROF_HEAP_CAPTURE", 0, OTELPROF_HEAP_CAPTURE_BPF, OTELPROF_HEAP_CAPTURE_USER,
           heap_captures),
    NUMBER(lock_interval_ns, "OTELPROF_LOCK_INTERVAL", 1, (int64_t)1 << 40, 100000, NULL),
    NUMBER(wall_rate_hz, "OTELPROF_WALL_RATE", 1, 1000, 99, NULL),
    NUMBER(wall_budget_permille, "OTELPROF_WALL_BUDGET", 0, 1000, 10, NULL),
    NUMBER(log_level, "OTELPROF_LOG_LEVEL", 0, OTELPROF_LOG_DEBUG, OTELPROF_LOG_INFO, log_levels),
};
#define NUMBER_COUNT (sizeof(numbers) / sizeof(numbers[0]))

/* A string option, and its variables in the order in which they count. */
struct text {
    size_t offset;
    const char *variables[3];
};

#define TEXT(field, variable)                                                                                          \
    {                                                                                                                  \
        offsetof(struct otelprof_options, field), { variable, NULL, NULL }                                             \
    }
#define OTLP_TEXT(field, variable, name)                                                                               \
    {                                                                                                                  \
        offsetof(struct otelprof_options, field), {                                                                    \
            variable, "OTEL_EXPORTER_OTLP_PROFILES_" name, "OTEL_EXPORTER_OTLP_" name                                  \
        }                                                                                                              \
    }

static const struct text texts[] = {
    TEXT(service_name, "OTEL_SERVICE_NAME"),
    TEXT(service_version, NULL),
    TEXT(service_namespace, NULL),
    TEXT(resource_attributes, "OTEL_RESOURCE_ATTRIBUTES"),
    TEXT(output_dir, "OTELPROF_OUTPUT_DIR"),
    OTLP_TEXT(endpoint, "OTELPROF_ENDPOINT", "ENDPOINT"),
    OTLP_TEXT(headers, NULL, "HEADERS"),
    OTLP_TEXT(certificate, NULL, "CERTIFICATE"),
    OTLP_TEXT(client_certificate, NULL, "CLIENT_CERTIFICATE"),
    OTLP_TEXT(client_key, NULL, "CLIENT_KEY"),
    TEXT(proxy, "OTELPROF_PROXY"),
};
#define TEXT_COUNT (sizeof(texts) / sizeof(texts[0]))

static void warn(struct otp_settings *settings, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void warn(struct otp_settings *settings, const char *format, ...) {
    size_t length = strlen(settings->warnings);
    if (length && length + 1 < sizeof(settings->warnings))
        settings->warnings[length++] = '\n';
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(settings->warnings + length, sizeof(settings->warnings) - length, format, arguments);
    va_end(arguments);
}

/* An environment variable; NULL if it is not set, is empty, or must not be read. */
static const char *variable(const struct otp_settings *settings, const char *name) {
    const char *value = settings->secure || !name ? NULL : secure_getenv(name);
    return value && *value ? value : NULL;
}

/* The first of these variables that is set; *which is its place. NULL if none is. */
static const char *first_variable(const struct otp_settings *settings, const char *const *names, size_t count,
                                  size_t *which) {
    const char *value = NULL;
    for (*which = 0; *which < count; ++*which) {
        value = variable(settings, names[*which]);
        if (value)
            break;
    }
    return value;
}

static int64_t *number_field(struct otp_settings *settings, const struct number *number) {
    return (int64_t *)(void *)((char *)&settings->options + number->offset);
}

static const char **text_field(struct otp_settings *settings, const struct text *text) {
    return (const char **)(void *)((char *)&settings->options + text->offset);
}

static bool parse_choice(const struct choice *choices, const char *value, int64_t *out) {
    for (; choices->name; choices++) {
        if (!strcasecmp(choices->name, value)) {
            *out = choices->value;
            return true;
        }
    }
    return false;
}

static bool parse_number(const struct number *number, const char *value, int64_t *out) {
    if (number->names)
        return parse_choice(number->names, value, out);
    char *end;
    errno = 0;
    long long parsed = strtoll(value, &end, 10);
    if (errno || end == value || *end || parsed < number->minimum || parsed > number->maximum)
        return false;
    *out = parsed;
    return true;
}

static int settle_number(struct otp_settings *settings, const struct number *number) {
    int64_t *field = number_field(settings, number);
    if (*field != OTELPROF_UNSET) {
        if (*field >= number->minimum && *field <= number->maximum)
            return 0;
        return otp_error(OTELPROF_E_INVALID, "option %s is %lld, outside %lld to %lld", number->field,
                         (long long)*field, (long long)number->minimum, (long long)number->maximum);
    }
    *field = number->fallback;
    for (size_t i = 0; i < 2; i++) {
        const char *value = variable(settings, number->variables[i]);
        if (value && parse_number(number, value, field))
            break;
        if (value)
            warn(settings, "%s is not understood and ignored: %.40s", number->variables[i], value);
    }
    return 0;
}

/* Profile types by name; a name that this release does not take is left out, with a warning. */
static uint32_t parse_profiles(struct otp_settings *settings, const char *list) {
    uint32_t mask = 0;
    while (*list) {
        size_t length = strcspn(list, ",");
        char name[16] = "";
        int64_t bit = 0;
        while (length && *list == ' ') {
            list++;
            length--;
        }
        if (length < sizeof(name))
            memcpy(name, list, length);
        name[strcspn(name, " ")] = 0;
        if (parse_choice(profile_types, name, &bit) && ((uint32_t)bit & OTP_PROFILES_KNOWN))
            mask |= (uint32_t)bit;
        else if (length)
            warn(settings, "OTELPROF_PROFILES: this release does not take \"%.*s\"", (int)length, list);
        list += length + (list[length] == ',');
    }
    return mask;
}

static int settle_profiles(struct otp_settings *settings) {
    int64_t *field = &settings->options.profiles;
    if (*field != OTELPROF_UNSET) {
        if (*field <= 0 || *field & ~(int64_t)OTP_PROFILES_KNOWN)
            return otp_error(OTELPROF_E_INVALID, "option profiles is 0x%llx; this release takes 0x%x",
                             (unsigned long long)*field, OTP_PROFILES_KNOWN);
        return 0;
    }
    const char *list = variable(settings, "OTELPROF_PROFILES");
    *field = list ? parse_profiles(settings, list) : 0;
    if (!*field)
        *field = OTP_PROFILES_KNOWN;
    return 0;
}

static char *copy_string(const char *string) {
    size_t size = strlen(string) + 1;
    char *copy = otp_sys.malloc(size);
    if (copy)
        memcpy(copy, string, size);
    return copy;
}

/* Every string becomes our own, also those that are not set. */
static int settle_texts(struct otp_settings *settings) {
    const char *values[TEXT_COUNT];
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char **field = text_field(settings, &texts[i]);
        size_t which = 0;
        values[i] = *field ? *field : first_variable(settings, texts[i].variables, 3, &which);
        if (texts[i].offset == offsetof(struct otelprof_options, endpoint))
            settings->endpoint_exact = !*field && values[i] && which == 1;
        *field = NULL;
    }
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char *copy = copy_string(values[i] ? values[i] : "");
        *text_field(settings, &texts[i]) = copy;
        if (!copy)
            return otp_error(OTELPROF_E_MEMORY, "out of memory for the options");
    }
    const char *allow = variable(settings, "OTELPROF_ATTRIBUTES_ALLOW");
    settings->attributes_allow = copy_string(allow ? allow : "");
    return settings->attributes_allow ? 0 : otp_error(OTELPROF_E_MEMORY, "out of memory for the options");
}

/* A newer program may bring fields that we do not know: they must not be set. */
static int take_options(struct otp_settings *settings, const struct otelprof_options *given) {
    const struct otelprof_options unset = OTELPROF_OPTIONS_INIT;
    settings->options = unset;
    if (!given)
        return 0;
    if (given->size < offsetof(struct otelprof_options, profiles) || given->size > 65536)
        return otp_error(OTELPROF_E_INVALID, "options.size is %zu: use OTELPROF_OPTIONS_INIT", given->size);
    size_t known = given->size < sizeof(unset) ? given->size : sizeof(unset);
    for (size_t at = known; at + 8 <= given->size; at += 8) {
        int64_t word;
        memcpy(&word, (const char *)given + at, sizeof(word));
        if (word != 0 && word != OTELPROF_UNSET)
            return otp_error(OTELPROF_E_INVALID, "an option at byte %zu is set that version %s does not know", at,
                             OTELPROF_VERSION);
    }
    memcpy(&settings->options, given, known);
    settings->options.size = sizeof(settings->options);
    return 0;
}

static bool is_true(const char *value) { return value && (!strcasecmp(value, "true") || !strcmp(value, "1")); }

/* ------------------------------------------------------------------------------------------------ export */

/* What the headers are is not said: they hold secrets. */
static int settle_headers(struct otp_settings *settings, bool by_program) {
    char left_out[OTP_HEADER_NAME];
    int result = otp_headers_lines(settings->options.headers, &settings->header_lines, left_out);
    if (*left_out)
        warn(settings, "the header %s is the exporter's own, and ignored", left_out);
    if (result != OTELPROF_E_INVALID || by_program)
        return result;
    warn(settings, "OTEL_EXPORTER_OTLP_HEADERS is ignored: %s", otp_error_text());
    return otp_headers_lines("", &settings->header_lines, left_out);
}

/* The variables that other programs obey too; curl is told, and reads none by itself. */
static int settle_proxy(struct otp_settings *settings) {
    static const char *const secure[] = {"https_proxy", "HTTPS_PROXY"}, *const plain[] = {"http_proxy"},
                             *const hosts[] = {"no_proxy", "NO_PROXY"};
    size_t which;
    const char **proxy = &settings->options.proxy, *value = NULL, *except = NULL;
    bool tls = !strncasecmp(settings->options.endpoint, "https:", 6);
    if (!**proxy) {
        value = tls ? first_variable(settings, secure, 2, &which) : first_variable(settings, plain, 1, &which);
        except = first_variable(settings, hosts, 2, &which);
    } else if (!strcasecmp(*proxy, "none")) {
        value = "";
    }
    if (value) {
        free((void *)(uintptr_t)*proxy);
        *proxy = copy_string(value);
    }
    settings->no_proxy = copy_string(except ? except : "");
    return *proxy && settings->no_proxy ? 0 : otp_error(OTELPROF_E_MEMORY, "out of memory for the options");
}

static int settle_export(struct otp_settings *settings, bool headers_by_program) {
    const struct otelprof_options *options = &settings->options;
    if (!*options->client_certificate != !*options->client_key)
        return otp_error(OTELPROF_E_INVALID, "a client certificate needs its key, and a key its certificate");
    settings->to_files = !options->export_bytes && *options->output_dir;
    settings->to_network = !options->export_bytes && (*options->endpoint || !*options->output_dir);
    int result = settle_headers(settings, headers_by_program);
    return result ? result : settle_proxy(settings);
}

int otp_settings_make(struct otp_settings *settings, const struct otelprof_options *options) {
    memset(settings, 0, sizeof(*settings));
    settings->secure = getauxval(AT_SECURE) != 0;
    int result = take_options(settings, options);
    if (result)
        return result;
    for (size_t i = 0; i < NUMBER_COUNT && !result; i++)
        result = settle_number(settings, &numbers[i]);
    if (!result)
        result = settle_profiles(settings);
    if (!settings->options.export_timeout_ms)
        settings->options.export_timeout_ms = EXPORT_TIMEOUT_MAX_MS; /* "no limit" */
    if (result)
        return result; /* no string is owned yet */
    bool headers_by_program = settings->options.headers != NULL;
    result = settle_texts(settings);
    if (!result)
        result = settle_export(settings, headers_by_program);
    if (result) {
        otp_settings_free(settings);
        return result;
    }
    const char *sdk_disabled = variable(settings, "OTEL_SDK_DISABLED");
    settings->disabled =
        (sdk_disabled && !strcasecmp(sdk_disabled, "true")) || is_true(variable(settings, "OTELPROF_DISABLED"));
    const char *log = variable(settings, "OTELPROF_LOG");
    settings->log_to_stderr = log && !strcasecmp(log, "stderr");
    return 0;
}

/* What is owned beside the strings of the options. */
static char **own_text(struct otp_settings *settings, size_t number) {
    char **const own[] = {&settings->no_proxy, &settings->attributes_allow, &settings->header_lines};
    return number < sizeof(own) / sizeof(own[0]) ? own[number] : NULL;
}

int otp_settings_copy(struct otp_settings *copy, const struct otp_settings *settings) {
    bool complete = true;
    *copy = *settings;
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char **field = text_field(copy, &texts[i]);
        *field = copy_string(*field);
        complete &= *field != NULL;
    }
    for (size_t i = 0; own_text(copy, i); i++) {
        *own_text(copy, i) = copy_string(*own_text(copy, i));
        complete &= *own_text(copy, i) != NULL;
    }
    if (complete)
        return 0;
    otp_settings_free(copy);
    return otp_error(OTELPROF_E_MEMORY, "out of memory for the options");
}

void otp_settings_free(struct otp_settings *settings) {
    for (size_t i = 0; i < TEXT_COUNT; i++) {
        const char **field = text_field(settings, &texts[i]);
        if (*field && texts[i].offset == offsetof(struct otelprof_options, headers))
            explicit_bzero((void *)(uintptr_t)*field, strlen(*field));
        free((void *)(uintptr_t)*field);
        *field = NULL;
    }
    otp_headers_free(settings->header_lines);
    settings->header_lines = NULL;
    for (size_t i = 0; own_text(settings, i); i++) {
        free(*own_text(settings, i));
        *own_text(settings, i) = NULL;
    }
}

char *otp_settings_profile_names(uint32_t mask, char *text, size_t size) {
    size_t length = 0;
    text[0] = 0;
    for (const struct choice *type = profile_types; type->name; type++) {
        if (!(mask & (uint32_t)type->value))
            continue;
        int added = snprintf(text + length, size - length, "%s%s", length ? "," : "", type->name);
        if (added < 0 || (size_t)added >= size - length)
            break;
        length += (size_t)added;
    }
    return text;
}

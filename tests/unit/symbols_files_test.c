// SPDX-License-Identifier: Apache-2.0
/* Which files speak for a module: separate debug files, other build ids, files that are gone, replaced or cut. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "symbols_fixture.h"
#include "test_main.h"

/* A library whose local function `hidden` is in .symtab only. `salt` changes code and build id. */
static void library(const char *name, int salt, const char *flags) {
    char text[1024];
    snprintf(text, sizeof(text),
             "static __attribute__((noinline, noclone)) int hidden%d(int a) {\n"
             "    int r = a;\n"
             "    for (int i = 0; i < %d; i++) r = r * 31 + i;\n"
             "    return r;\n"
             "}\n"
             "int shown(int a) { return hidden%d(a) + hidden%d(a + 1); }\n"
             "void *where(void) { return (void *)hidden%d; }\n",
             salt, 100 + salt, salt, salt, salt);
    write_file(in_folder("library.c"), text);
    run("cd '%s' && gcc -g -O2 -shared -fPIC %s -o '%s' library.c", folder, flags, name);
}

/* The executable mapping that contains an address of this process. */
static void module_at(struct fixture_module *fixture, uintptr_t address, const char *path) {
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    char line[512];
    unsigned long long start, end, offset;
    bool found = false;
    module_of(fixture, path, 0);
    while (!found && fgets(line, sizeof(line), maps))
        found = sscanf(line, "%llx-%llx r-xp %llx", &start, &end, &offset) == 3 && address >= start && address < end;
    ck_assert(found);
    fclose(maps);
    fixture->module.bias = start - (fixture->module.start - BASE);
    fixture->module.start = start;
    fixture->module.end = end;
    fixture->module.file_offset = offset;
}

struct loaded {
    void *handle;
    struct fixture_module fixture;
    uint64_t hidden; /* address in this process */
};

static void load(struct loaded *loaded, const char *path) {
    loaded->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(loaded->handle != NULL, "%s", dlerror());
    void *(*where)(void);
    *(void **)&where = dlsym(loaded->handle, "where");
    ck_assert_ptr_nonnull((void *)(uintptr_t)where);
    loaded->hidden = (uintptr_t)where();
    module_at(&loaded->fixture, loaded->hidden, path);
}

/* The name of `hidden`, "" if unnamed; the line goes to `line` if that is not NULL. */
static const char *hidden_name(struct otp_symbols *symbols, const struct loaded *loaded, uint32_t *line) {
    static struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    size_t count =
        otp_symbols_resolve(symbols, &loaded->fixture.module, loaded->hidden + 4, lines, OTP_SYMBOL_LINES_MAX);
    if (line)
        *line = count ? lines[0].line : 0;
    return count ? lines[count - 1].function : "";
}

/* Takes debug information out of a library; it stays in `debug`. */
static void strip(const char *path, const char *debug) {
    run("objcopy --only-keep-debug '%s' '%s' && strip '%s'", path, debug, path);
}

START_TEST(test_debug_file_by_build_id) {
    folder_make();
    library("lib.so", 1, "");
    strip(in_folder("lib.so"), in_folder("kept.debug"));
    struct loaded loaded;
    load(&loaded, in_folder("lib.so"));
    uint32_t line;
    struct otp_symbols *symbols = symbols_with(NULL);
    ck_assert_str_eq(hidden_name(symbols, &loaded, &line), ""); /* .dynsym only */
    ck_assert_uint_eq(stats_of(symbols).unnamed_no_symbol, 1);
    otp_symbols_free(symbols);

    char hex[2 * OTP_BUILD_ID_MAX + 1] = "";
    for (size_t i = 0; i < loaded.fixture.module.build_id_size; i++)
        snprintf(hex + 2 * i, 3, "%02x", loaded.fixture.build_id[i]);
    run("mkdir -p '%s/debug/.build-id/%.2s' && cp '%s' '%s/debug/.build-id/%.2s/%s.debug'", folder, hex,
        in_folder("kept.debug"), folder, hex, hex + 2);
    struct otp_symbols_options options = {.debug_directory = in_folder("debug")};
    symbols = symbols_with(&options);
    ck_assert_str_eq(hidden_name(symbols, &loaded, &line), "hidden1");
    ck_assert_int_eq(line > 0, lines_are_known());
    ck_assert_uint_le(line, 5);
    otp_symbols_free(symbols);

    /* A debug file of another library is not believed. */
    library("other.so", 2, "");
    run("cp '%s' '%s/debug/.build-id/%.2s/%s.debug'", in_folder("other.so"), folder, hex, hex + 2);
    symbols = symbols_with(&options);
    ck_assert_str_eq(hidden_name(symbols, &loaded, &line), "");
    ck_assert_uint_eq(stats_of(symbols).files_wrong, 1);
    otp_symbols_free(symbols);
    dlclose(loaded.handle);
    folder_remove();
}
END_TEST

START_TEST(test_debug_file_by_link) {
    folder_make();
    library("lib.so", 3, "-Wl,--build-id=none");
    strip(in_folder("lib.so"), in_folder("lib.so.debug"));
    run("cd '%s' && objcopy --add-gnu-debuglink=lib.so.debug lib.so", folder);
    struct loaded loaded;
    load(&loaded, in_folder("lib.so"));
    ck_assert_uint_eq(loaded.fixture.module.build_id_size, 0);
    uint32_t line;
    struct otp_symbols *symbols = symbols_with(NULL);
    ck_assert_str_eq(hidden_name(symbols, &loaded, &line), "hidden3");
    ck_assert_int_eq(line > 0, lines_are_known());
    otp_symbols_free(symbols);

    run("cd '%s' && mkdir .debug && mv lib.so.debug .debug", folder);
    symbols = symbols_with(NULL);
    ck_assert_str_eq(hidden_name(symbols, &loaded, NULL), "hidden3");
    otp_symbols_free(symbols);

    run("echo >> '%s/.debug/lib.so.debug'", folder);
    symbols = symbols_with(NULL);
    ck_assert_str_eq(hidden_name(symbols, &loaded, NULL), "");
    ck_assert_uint_eq(stats_of(symbols).files_wrong, 1);
    otp_symbols_free(symbols);
    dlclose(loaded.handle);
    folder_remove();
}
END_TEST

/* Without a build id the mapped text must equal the file's. */
START_TEST(test_other_text) {
    folder_make();
    library("lib.so", 4, "-Wl,--build-id=none");
    library("other.so", 5, "-Wl,--build-id=none");
    struct loaded loaded;
    load(&loaded, in_folder("lib.so"));
    run("cd '%s' && mv other.so lib.so", folder);
    struct otp_symbols *symbols = symbols_with(NULL);
    const char *name = hidden_name(symbols, &loaded, NULL);
    ck_assert_msg(!strcmp(name, "") || !strcmp(name, "hidden4"), "%s", name); /* named by /proc/self/map_files */
    ck_assert_uint_ge(stats_of(symbols).files_wrong, 1);
    otp_symbols_free(symbols);
    dlclose(loaded.handle);
    folder_remove();
}
END_TEST

START_TEST(test_gone_and_replaced) {
    folder_make();
    for (int replaced = 0; replaced < 2; replaced++) {
        library("lib.so", 6, "");
        library("other.so", 7, "");
        struct loaded loaded;
        load(&loaded, in_folder("lib.so"));
        run(replaced ? "cd '%s' && mv other.so lib.so" : "cd '%s' && rm lib.so", folder);
        loaded.fixture.module.deleted = !replaced;
        struct otp_symbols *symbols = symbols_with(NULL);
        const char *name = hidden_name(symbols, &loaded, NULL);
        if (access("/proc/self/map_files", X_OK) == 0 && geteuid() == 0)
            ck_assert_str_eq(name, "hidden6");
        else
            ck_assert_msg(!strcmp(name, "") || !strcmp(name, "hidden6"), "%s", name);
        ck_assert_uint_eq(stats_of(symbols).files_wrong, (unsigned)replaced);
        otp_symbols_free(symbols);
        dlclose(loaded.handle);
    }
    folder_remove();
}
END_TEST

START_TEST(test_cut_and_damaged) {
    folder_make();
    library("lib.so", 8, "");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("lib.so"), 0);
    struct stat status;
    ck_assert_int_eq(stat(in_folder("lib.so"), &status), 0);
    uint64_t address = address_of(in_folder("lib.so"), "shown");
    for (off_t size = 0; size < status.st_size; size += 97) {
        run("cp '%s' '%s'", in_folder("lib.so"), in_folder("cut.so"));
        ck_assert_int_eq(truncate(in_folder("cut.so"), size), 0);
        fixture.module.path = in_folder("cut.so");
        struct otp_symbols *symbols = symbols_with(NULL);
        const char *name = name_at(symbols, &fixture, address);
        ck_assert_msg(!strcmp(name, "") || !strcmp(name, "shown"), "%lld bytes: %s", (long long)size, name);
        otp_symbols_free(symbols);
    }
    folder_remove();
}
END_TEST

/* Two executable segments, far from each other. */
START_TEST(test_two_segments) {
    folder_make();
    write_sources();
    write_file(in_folder("far.c"), "__attribute__((section(\".far\"))) int distant(int a) { return a * 77; }\n");
    compile("gcc", "-g -O2 -no-pie far.c -Wl,--section-start=.far=0x10000000", "two");
    static const char *const names[] = {"far_away", "distant"};
    struct otp_symbols *symbols = symbols_with(NULL);
    for (unsigned i = 0; i < 2; i++) {
        struct fixture_module fixture;
        uint64_t address = address_of(in_folder("two"), names[i]);
        bool found = false;
        for (unsigned segment = 0; segment < 2; segment++) {
            module_of(&fixture, in_folder("two"), segment);
            fixture.module.bias = 0; /* the file must decide */
            if (address < fixture.text || address >= fixture.text + fixture.size)
                continue;
            found = true;
            ck_assert_str_eq(name_at(symbols, &fixture, address), names[i]);
        }
        ck_assert(found);
    }
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

static bool is_mapped(const char *text) {
    FILE *maps = fopen("/proc/self/maps", "r");
    ck_assert_ptr_nonnull(maps);
    char line[512];
    bool found = false;
    while (fgets(line, sizeof(line), maps))
        found = found || strstr(line, text);
    fclose(maps);
    return found;
}

static unsigned descriptors(void) {
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* With all three standard descriptors closed, none of ours takes their place, and none is mapped or left open. */
START_TEST(test_descriptors_and_mappings) {
    folder_make();
    write_sources();
    compile("gcc", "-g -O2", "plain");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("plain"), 0);
    uint64_t address = address_of(in_folder("plain"), "main");
    struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
    int saved = fcntl(0, F_DUPFD, 100);
    close(0);
    unsigned before = descriptors();
    struct otp_symbols *symbols = symbols_with(NULL);
    size_t count = otp_symbols_resolve(symbols, &fixture.module, BASE + address, lines, OTP_SYMBOL_LINES_MAX);
    bool took_zero = fcntl(0, F_GETFD) != -1;
    unsigned during = descriptors();
    bool mapped = is_mapped(folder);
    otp_symbols_end_window(symbols);
    unsigned after = descriptors();
    otp_symbols_free(symbols);
    dup2(saved, 0);
    ck_assert_uint_ge(count, 1);
    ck_assert_int_eq(lines[0].line > 0, lines_are_known());
    ck_assert(!took_zero);
    ck_assert(!mapped);
    ck_assert_uint_eq(during, before + lines_are_known()); /* the file with the lines */
    ck_assert_uint_eq(after, before);
    folder_remove();
}
END_TEST

START_TEST(test_no_regular_file) {
    folder_make();
    library("lib.so", 9, "");
    struct fixture_module fixture;
    module_of(&fixture, in_folder("lib.so"), 0);
    uint64_t address = address_of(in_folder("lib.so"), "shown");
    run("mkfifo '%s' && ln -s '%s' '%s'", in_folder("fifo"), in_folder("lib.so"), in_folder("link"));
    static const char *const bad[] = {"fifo", "absent", "", "library.c"};
    for (unsigned i = 0; i < 4; i++) {
        struct otp_symbols *symbols = symbols_with(NULL);
        fixture.module.path = in_folder(bad[i]);
        ck_assert_str_eq(name_at(symbols, &fixture, address), "");
        ck_assert_uint_eq(stats_of(symbols).unnamed_no_file, 1);
        ck_assert_uint_eq(stats_of(symbols).files_bad, i == 3);
        otp_symbols_free(symbols);
    }
    struct otp_symbols *symbols = symbols_with(NULL);
    fixture.module.path = in_folder("link");
    ck_assert_str_eq(name_at(symbols, &fixture, address), "shown");
    otp_symbols_free(symbols);
    folder_remove();
}
END_TEST

/* One thread rewrites the file, in place and by rename, with two contents; names must be right or missing. */
struct mutator {
    char one[160], other[160], victim[160];
    atomic_bool stop;
    unsigned changes;
};

static void copy_over(const char *from, const char *to, size_t part) {
    static char buffer[1 << 16];
    int source = open(from, O_RDONLY | O_CLOEXEC);
    int target = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    ck_assert_int_ge(source, 0);
    ck_assert_int_ge(target, 0);
    ssize_t got;
    while (part && (got = read(source, buffer, part < 4096 ? part : 4096)) > 0) {
        ck_assert_int_eq(write(target, buffer, (size_t)got), got);
        part -= (size_t)got;
    }
    close(source);
    close(target);
}

static void *mutate(void *argument) {
    struct mutator *mutator = argument;
    char fresh[180];
    unsigned seed = 12345;
    snprintf(fresh, sizeof(fresh), "%s.new", mutator->victim);
    while (!atomic_load(&mutator->stop)) {
        const char *from = rand_r(&seed) & 1 ? mutator->one : mutator->other;
        unsigned kind = (unsigned)rand_r(&seed) % 4;
        if (kind == 0) {
            copy_over(from, fresh, SIZE_MAX);
            rename(fresh, mutator->victim);
        } else if (kind == 1) {
            copy_over(from, mutator->victim, (size_t)rand_r(&seed) % 16384);
        } else {
            copy_over(from, mutator->victim, SIZE_MAX);
        }
        mutator->changes++;
        usleep((unsigned)rand_r(&seed) % 3000);
    }
    return NULL;
}

START_TEST(test_changing_file) {
    folder_make();
    library("one.so", 10, "");
    library("other.so", 1111, "-O0 -fno-omit-frame-pointer");
    struct mutator mutator = {.changes = 0};
    snprintf(mutator.one, sizeof(mutator.one), "%s", in_folder("one.so"));
    snprintf(mutator.other, sizeof(mutator.other), "%s", in_folder("other.so"));
    snprintf(mutator.victim, sizeof(mutator.victim), "%s", in_folder("victim.so"));
    copy_over(mutator.one, mutator.victim, SIZE_MAX);
    struct fixture_module fixture;
    module_of(&fixture, mutator.one, 0);
    fixture.module.path = mutator.victim;
    uint64_t address = address_of(mutator.one, "hidden10");
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, mutate, &mutator), 0);
    unsigned named = 0;
    unsigned unnamed = 0;
    const char *seconds = getenv("OTP_SECONDS");
    time_t end = time(NULL) + (seconds ? atoi(seconds) : 4);
    while (time(NULL) < end) {
        struct otp_symbols *symbols = symbols_with(NULL);
        struct otp_symbol_line lines[OTP_SYMBOL_LINES_MAX];
        size_t count = otp_symbols_resolve(symbols, &fixture.module, BASE + address + 4, lines, OTP_SYMBOL_LINES_MAX);
        if (count) {
            named++;
            ck_assert_str_eq(lines[count - 1].function, "hidden10");
        } else {
            unnamed++;
        }
        otp_symbols_free(symbols);
    }
    atomic_store(&mutator.stop, true);
    pthread_join(thread, NULL);
    printf("%u changes, %u named, %u unnamed\n", mutator.changes, named, unnamed);
    ck_assert_uint_gt(mutator.changes, 100);
    ck_assert_uint_gt(named, 10);
    ck_assert_uint_gt(unnamed, 10);
    folder_remove();
}
END_TEST

OTP_TEST_MAIN("symbols: files", 280, test_debug_file_by_build_id, test_debug_file_by_link, test_other_text,
              test_gone_and_replaced, test_cut_and_damaged, test_two_segments, test_descriptors_and_mappings,
              test_no_regular_file, test_changing_file)

// SPDX-License-Identifier: Apache-2.0
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sys.h"
#include "export/callback.h"
#include "export/file.h"
#include "failing_calls.h"

static char base[] = "/tmp/otelprof-file-test-XXXXXX";
static char directory[128];

static void make_base(void) {
    strcpy(base + sizeof(base) - 7, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(directory, sizeof(directory), "%s/deep/profiles", base);
}

static void remove_base(void) {
    static const char *const levels[] = {"/deep/profiles", "/deep", ""};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s%s", base, levels[i]);
        DIR *list = opendir(path);
        for (struct dirent *entry; list && (entry = readdir(list));) {
            char file[1024];
            snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
            if (entry->d_type != DT_DIR)
                unlink(file);
        }
        if (list)
            closedir(list);
        rmdir(path);
    }
}

/* Files in the directory, hidden ones too, that end so. */
static int count_files(const char *suffix) {
    int count = 0;
    DIR *list = opendir(directory);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
            count += length >= end && !strcmp(entry->d_name + length - end, suffix);
    }
    if (list)
        closedir(list);
    return count;
}

static struct otp_exporter *open_exporter(uint64_t max_bytes, uint32_t max_files) {
    struct otp_file_options options = {.directory = directory,
                                       .max_bytes = max_bytes,
                                       .max_files = max_files,
                                       .pid = 123,
                                       .start_unix_ms = 1700000000000,
                                       .sync = true};
    struct otp_exporter *exporter = NULL;
    ck_assert_msg(!otp_file_exporter_new(&options, &exporter), "%s", otp_error_text());
    return exporter;
}

static enum otp_delivery send(struct otp_exporter *exporter, size_t size) {
    static char bytes[1 << 20];
    memset(bytes, 'x', size);
    return exporter->ops->send(exporter, bytes, size, UINT64_MAX, &(struct otp_answer){0});
}

static bool there(int number) {
    char path[256];
    snprintf(path, sizeof(path), "%s/otelprof-123-1700000000000-%06d.otlp", directory, number);
    return !access(path, F_OK);
}

START_TEST(files_appear_whole_and_private) {
    struct otp_exporter *exporter = open_exporter(0, 0);
    ck_assert_int_eq(send(exporter, 100000), OTP_DELIVERED);
    ck_assert_int_eq(send(exporter, 5), OTP_DELIVERED);
    struct stat status;
    char path[256];
    snprintf(path, sizeof(path), "%s/otelprof-123-1700000000000-000000.otlp", directory);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_size, 100000);
    ck_assert_int_eq(status.st_mode & 0777, 0600);
    ck_assert_int_eq(stat(directory, &status), 0);
    ck_assert_int_eq(status.st_mode & 0777, 0700);
    ck_assert(there(1));
    ck_assert_int_eq(count_files(""), 2);
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(rotation_by_number) {
    struct otp_exporter *exporter = open_exporter(0, 3);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert(!there(6) && there(7) && there(8) && there(9));
    ck_assert_uint_eq(exporter->files_removed, 7);
    exporter->ops->close(exporter);
}
END_TEST

/* A file of that name and age in the directory. */
static void leave(const char *name, int seconds_ago) {
    char path[256];
    struct timespec times[2] = {{time(NULL) - seconds_ago, 0}, {time(NULL) - seconds_ago, 0}};
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "0123456789", 10), 10);
    ck_assert_int_eq(futimens(fd, times), 0);
    close(fd);
}

static bool is_there(const char *name) {
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return !access(path, F_OK);
}

/* Restarts do not fill the disk: files of other runs count, the oldest go first; other people's files never go. */
START_TEST(rotation_over_runs) {
    struct otp_exporter *exporter = open_exporter(0, 4);
    leave("otelprof-99-1-000000.otlp", 300);
    leave("otelprof-7-2-000009.otlp", 400);
    leave("otelprof-7-2-000010.otlp", 200);
    leave("otelprof-7-2-10.otlp", 9000); /* not a name that we give */
    leave("report.otlp", 9000);
    leave(".otelprof-7-2-000011.tmp", 9000);
    leave(".otelprof-8-2-000000.tmp", 60); /* somebody may be writing it */
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert_uint_eq(exporter->files_removed, 0);
    ck_assert(!is_there(".otelprof-7-2-000011.tmp") && is_there(".otelprof-8-2-000000.tmp"));
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert(!is_there("otelprof-7-2-000009.otlp") && is_there("otelprof-99-1-000000.otlp"));
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert(!is_there("otelprof-99-1-000000.otlp") && is_there("otelprof-7-2-000010.otlp"));
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert(!is_there("otelprof-7-2-000010.otlp") && !there(0) && there(1) && there(4));
    ck_assert(is_there("report.otlp") && is_there("otelprof-7-2-10.otlp"));
    exporter->ops->close(exporter);
}
END_TEST

/* Another process writes into the same directory: found at the next look. */
START_TEST(rotation_with_others) {
    struct otp_exporter *exporter = open_exporter(0, 40);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    for (int i = 0; i < 30; i++) {
        char name[64];
        snprintf(name, sizeof(name), "otelprof-55-3-%06d.otlp", i);
        leave(name, 0);
    }
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert_int_eq(count_files(".otlp"), 40);
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(rotation_by_bytes) {
    struct otp_exporter *exporter = open_exporter(1000, 100);
    ck_assert_int_eq(send(exporter, 400), OTP_DELIVERED);
    ck_assert_int_eq(send(exporter, 400), OTP_DELIVERED);
    ck_assert_int_eq(send(exporter, 200), OTP_DELIVERED);
    ck_assert_uint_eq(exporter->files_removed, 0);
    ck_assert_int_eq(send(exporter, 1), OTP_DELIVERED);
    ck_assert(!there(0) && there(1) && there(3));
    ck_assert_int_eq(send(exporter, 1000), OTP_DELIVERED);
    ck_assert_int_eq(count_files(".otlp"), 1);
    ck_assert_int_eq(send(exporter, 1001), OTP_DELIVERY_FAILED);
    ck_assert_int_eq(count_files(""), 1);
    ck_assert_uint_eq(exporter->files_removed, 4);
    /* A file that someone else took away is not counted as removed by us. */
    char path[256];
    snprintf(path, sizeof(path), "%s/otelprof-123-1700000000000-000004.otlp", directory);
    unlink(path);
    ck_assert_int_eq(send(exporter, 1000), OTP_DELIVERED);
    ck_assert_uint_eq(exporter->files_removed, 4);
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(vanished_directory_is_made_again) {
    struct otp_exporter *exporter = open_exporter(0, 0);
    remove_base();
    ck_assert_int_eq(access(base, F_OK), -1);
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert_int_eq(count_files(".otlp"), 1);
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(left_over_temporary_file_is_replaced) {
    struct otp_exporter *exporter = open_exporter(0, 0);
    char path[256];
    snprintf(path, sizeof(path), "%s/.otelprof-123-1700000000000-000000.tmp", directory);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0); /* and not followed */
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert_int_eq(count_files(""), 1);
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(relative_path_survives_chdir) {
    ck_assert_int_eq(chdir(base), 0);
    struct otp_file_options options = {.directory = "deep/profiles", .pid = 123, .start_unix_ms = 1700000000000};
    struct otp_exporter *exporter;
    ck_assert_int_eq(otp_file_exporter_new(&options, &exporter), 0);
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERED);
    ck_assert(there(0));
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(bad_directories_are_errors_at_once) {
    struct otp_exporter *exporter = NULL;
    struct otp_file_options options = {.directory = "/proc/otelprof/x"};
    ck_assert_int_eq(otp_file_exporter_new(&options, &exporter), OTELPROF_E_SYSTEM);
    ck_assert_ptr_nonnull(strstr(otp_error_text(), "/proc/otelprof/x"));
    options.directory = "/etc/passwd";
    ck_assert_int_eq(otp_file_exporter_new(&options, &exporter), OTELPROF_E_SYSTEM);
    options.directory = "";
    ck_assert_int_eq(otp_file_exporter_new(&options, &exporter), OTELPROF_E_INVALID);
    options = (struct otp_file_options){.directory = directory, .max_files = 100001};
    ck_assert_int_eq(otp_file_exporter_new(&options, &exporter), OTELPROF_E_INVALID);
    ck_assert_ptr_null(exporter);
}
END_TEST

/* SIGXFSZ is not blocked here: its default action would end this process. */
START_TEST(file_size_limit_is_no_signal) {
    struct otp_exporter *exporter = open_exporter(0, 0);
    struct rlimit limit = {1000, RLIM_INFINITY};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_assert_int_eq(send(exporter, 1001), OTP_DELIVERY_FAILED);
    ck_assert_ptr_nonnull(strstr(otp_error_text(), "File too large"));
    ck_assert_int_eq(count_files(""), 0);
    ck_assert_int_eq(send(exporter, 1000), OTP_DELIVERED);
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(closed_standard_descriptors_are_not_ours) {
    struct otp_exporter *exporter = open_exporter(0, 0);
    int kept = dup(STDOUT_FILENO);
    close(STDOUT_FILENO);
    enum otp_delivery delivery = send(exporter, 10);
    int error = fcntl(STDOUT_FILENO, F_GETFD); /* free as it was */
    dup2(kept, STDOUT_FILENO);
    close(kept);
    ck_assert_int_eq(delivery, OTP_DELIVERED);
    ck_assert_int_eq(error, -1);
    exporter->ops->close(exporter);
}
END_TEST

#ifdef OTP_SYS_SWAPPABLE
static int failing_error;

static ssize_t full_write(int fd, const void *bytes, size_t size) {
    (void)fd, (void)bytes, (void)size;
    errno = failing_error;
    return -1;
}

static ssize_t no_write(int fd, const void *bytes, size_t size) {
    (void)fd, (void)bytes, (void)size;
    return 0;
}

/* A third at a time, interrupted in between. */
static ssize_t slow_write(int fd, const void *bytes, size_t size) {
    static bool interrupted;
    interrupted = !interrupted;
    if (interrupted) {
        errno = EINTR;
        return -1;
    }
    return otp_sys_real.write(fd, bytes, size / 3 + 1);
}

static int failing_open(const char *path, int flags, mode_t mode) {
    (void)path, (void)flags, (void)mode;
    errno = failing_error;
    return -1;
}

static int failing_fsync(int fd) {
    (void)fd;
    errno = EIO;
    return -1;
}

static int failing_rename(const char *from, const char *to) {
    (void)from, (void)to;
    errno = EACCES;
    return -1;
}

static void expect_failure(struct otp_exporter *exporter, const char *text) {
    ck_assert_int_eq(send(exporter, 10), OTP_DELIVERY_FAILED);
    ck_assert_msg(strstr(otp_error_text(), text) != NULL, "%s is not in %s", text, otp_error_text());
    otp_sys = otp_sys_real;
    ck_assert_int_eq(count_files(""), 0);
}

START_TEST(failures_leave_nothing_behind) {
    struct otp_exporter *exporter = open_exporter(0, 0);
    static const int errors[] = {ENOSPC, EACCES, EDQUOT, EIO, EMFILE, EROFS};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        failing_error = errors[i];
        otp_sys.write = full_write;
        expect_failure(exporter, strerror(errors[i]));
        otp_sys.open = failing_open;
        expect_failure(exporter, strerror(errors[i]));
    }
    otp_sys.write = no_write;
    expect_failure(exporter, strerror(ENOSPC));
    otp_sys.fsync = failing_fsync;
    expect_failure(exporter, strerror(EIO));
    otp_sys.rename = failing_rename;
    expect_failure(exporter, strerror(EACCES));
    otp_sys.write = slow_write;
    ck_assert_int_eq(send(exporter, 1000), OTP_DELIVERED);
    otp_sys = otp_sys_real;
    ck_assert(there(0)); /* failures use up no number */
    exporter->ops->close(exporter);
}
END_TEST

START_TEST(each_allocation_fails_once) {
    int failures = 0, error = -1;
    for (int n = 0; n < 10 && error; n++) {
        struct otp_file_options options = {.directory = directory};
        struct otp_exporter *exporter = NULL;
        failing_calls_after(n);
        error = otp_file_exporter_new(&options, &exporter);
        failures += error == OTELPROF_E_MEMORY;
        if (!error)
            exporter->ops->close(exporter);
    }
    failing_calls_end();
    ck_assert_int_eq(error, 0);
    ck_assert_int_eq(failures, 5);
}
END_TEST
#endif

static int take(void *user, const void *bytes, size_t size) {
    *(size_t *)user += size;
    return ((const char *)bytes)[0] == 'y';
}

START_TEST(callback_gets_the_bytes) {
    struct otp_exporter *exporter;
    size_t sum = 0;
    ck_assert_int_eq(otp_callback_exporter_new(NULL, NULL, &exporter), OTELPROF_E_INVALID);
    ck_assert_int_eq(otp_callback_exporter_new(take, &sum, &exporter), 0);
    ck_assert_int_eq(exporter->ops->send(exporter, "xx", 2, 0, &(struct otp_answer){0}), OTP_DELIVERED);
    ck_assert_int_eq(exporter->ops->send(exporter, "yyy", 3, 0, &(struct otp_answer){0}), OTP_DELIVERY_FAILED);
    ck_assert_uint_eq(sum, 5);
    exporter->ops->close(exporter);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("export_file");
    TCase *tests = tcase_create("file");
    tcase_add_checked_fixture(tests, make_base, remove_base);
    tcase_add_test(tests, files_appear_whole_and_private);
    tcase_add_test(tests, rotation_by_number);
    tcase_add_test(tests, rotation_by_bytes);
    tcase_add_test(tests, rotation_over_runs);
    tcase_add_test(tests, rotation_with_others);
    tcase_add_test(tests, vanished_directory_is_made_again);
    tcase_add_test(tests, left_over_temporary_file_is_replaced);
    tcase_add_test(tests, relative_path_survives_chdir);
    tcase_add_test(tests, bad_directories_are_errors_at_once);
    tcase_add_test(tests, file_size_limit_is_no_signal);
    tcase_add_test(tests, closed_standard_descriptors_are_not_ours);
#ifdef OTP_SYS_SWAPPABLE
    tcase_add_test(tests, failures_leave_nothing_behind);
    tcase_add_test(tests, each_allocation_fails_once);
#endif
    tcase_add_test(tests, callback_gets_the_bytes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

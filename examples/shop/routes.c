// SPDX-License-Identifier: Apache-2.0
/* The routes; each spends its time in another way, and /checkout keeps memory. */
#include "routes.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <zlib.h>

#include "archive.h"
#include "seal.h"
#include "text.h"

#define RANKED_PRODUCTS 20
#define REPORT_ORDERS 4000
#define REPORT_RECEIPTS 1000
#define CART_ITEMS 48
#define ORDER_ITEMS 6

static void answer_error(struct answer *answer, unsigned status) {
    answer->status = status;
    answer->content_type = "text/plain";
    answer->body = NULL;
    answer->size = 0;
}

/* Serialises `json`, which is released, into the answer. */
static void answer_json(struct answer *answer, json_t *json) {
    char *body = json == NULL ? NULL : json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(json);
    if (body == NULL) {
        answer_error(answer, 500);
        return;
    }
    answer->status = 200;
    answer->content_type = "application/json";
    answer->body = body;
    answer->size = strlen(body);
}

static json_t *product_json(const struct product *product) {
    return json_pack("{s:I, s:s, s:I, s:f, s:{s:I, s:b}}", "id", (json_int_t)product->id, "name", product->name,
                     "price_cents", (json_int_t)product->price_cents, "rating", product->rating, "availability",
                     "stock", (json_int_t)product->stock, "in_stock", product->stock > 0);
}

/* GET /products?category=N: one SQL query that ranks every product of the category, and sorts. */
static void run_products(const struct job *job, struct answer *answer) {
    struct product products[RANKED_PRODUCTS];
    struct span query;
    span_begin_query(&query, job->span, "SELECT products");
    long count = store_ranked(job->store, job->argument, products, RANKED_PRODUCTS);
    span_leave(&query);
    span_finish(&query, 0);

    json_t *list = json_array();
    for (long i = 0; i < count; i++) {
        json_array_append_new(list, product_json(&products[i]));
    }
    if (count < 0) {
        json_decref(list);
        list = NULL;
    }
    answer_json(answer, list);
}

struct report {
    struct text text;
    long newest; /* order */
};

static void report_line(void *user, const struct order_line *line) {
    struct report *report = user;
    if (line->id > report->newest) {
        report->newest = line->id;
    }
    text_append(&report->text, "%ld,%ld,\"%s\",%ld,%ld.%02ld\n", line->id, line->customer, line->product,
                line->quantity, line->quantity * line->price_cents / 100, line->quantity * line->price_cents % 100);
}

/* GET /report: the newest orders as CSV, with a checksum of their receipts, compressed. */
static void run_report(const struct job *job, struct answer *answer) {
    struct report report = {{NULL, 0, 0, false}, -1};
    struct span query;
    text_append(&report.text, "order,customer,product,quantity,amount\n");
    span_begin_query(&query, job->span, "SELECT orders");
    long count = store_recent_orders(job->store, REPORT_ORDERS, report_line, &report);
    span_leave(&query);
    span_finish(&query, 0);

    text_append(&report.text, "receipts,,,,%08lx\n", archive_checksum(report.newest, REPORT_RECEIPTS));
    answer_error(answer, 500);
    if (count >= 0 && !report.text.failed) {
        answer->body = text_gzip(&report.text, &answer->size);
    }
    if (answer->body != NULL) {
        answer->status = 200;
        answer->content_type = "text/csv";
        answer->content_encoding = "gzip";
    }
    text_free(&report.text);
}

/* GET /cart/{id}: a large JSON document from memory, no SQL; light enough for the HTTP thread. */
static void run_cart(const struct job *job, struct answer *answer) {
    json_t *items = json_array();
    json_int_t total = 0;
    for (long i = 0; i < CART_ITEMS; i++) {
        size_t at = (size_t)(job->argument * 7 + i * 13) % job->catalogue->count;
        const struct product *product = &job->catalogue->products[at];
        json_int_t quantity = 1 + (job->argument + i) % 3;
        total += quantity * product->price_cents;
        json_array_append_new(items, json_pack("{s:o, s:I}", "product", product_json(product), "quantity", quantity));
    }
    answer_json(answer,
                json_pack("{s:I, s:o, s:I}", "cart", (json_int_t)job->argument, "items", items, "total_cents", total));
}

/* Reads the prices of an order's products. False when one cannot be had. */
static bool price_order(const struct job *job, struct product products[ORDER_ITEMS]) {
    bool good = true;
    struct span query;
    span_begin_query(&query, job->span, "SELECT product");
    for (long i = 0; good && i < ORDER_ITEMS; i++) {
        good = store_product(job->store, 1 + (job->argument * 31 + i * 17) % STORE_PRODUCTS, &products[i]);
    }
    span_leave(&query);
    span_finish(&query, 0);
    return good;
}

static long place_order(const struct job *job, const struct product products[ORDER_ITEMS]) {
    struct span query;
    span_begin_query(&query, job->span, "INSERT orders");
    long order = store_place_order(job->store, job->argument, products[0].id, 1);
    span_leave(&query);
    span_finish(&query, 0);
    return order;
}

/* POST /checkout?customer=N: SQL, a JSON receipt, a checksum and a seal over it. */
static void run_checkout(const struct job *job, struct answer *answer) {
    struct product products[ORDER_ITEMS];
    long order = price_order(job, products) ? place_order(job, products) : -1;
    if (order < 0) {
        answer_error(answer, 503);
        return;
    }
    json_t *items = json_array();
    json_int_t total = 0;
    for (size_t i = 0; i < ORDER_ITEMS; i++) {
        total += products[i].price_cents;
        json_array_append_new(items, product_json(&products[i]));
    }
    json_t *receipt = json_pack("{s:I, s:I, s:o, s:I}", "order", (json_int_t)order, "customer",
                                (json_int_t)job->argument, "items", items, "total_cents", total);
    char *text = receipt == NULL ? NULL : json_dumps(receipt, JSON_COMPACT);
    if (text != NULL) {
        size_t size = strlen(text);
        char seal[SEAL_TEXT_SIZE];
        json_object_set_new(receipt, "crc32", json_integer((json_int_t)crc32(0, (const Bytef *)text, (uInt)size)));
        json_object_set_new(receipt, "seal", json_string(seal_text(text, size, seal)));
        free(text);
    }
    answer_json(answer, receipt);
    if (answer->body != NULL) {
        archive_keep(order, answer->body, answer->size);
    }
}

/* GET /receipt/{order}: the receipt once more, while it is kept. */
static void run_receipt(const struct job *job, struct answer *answer) {
    answer_error(answer, 404);
    char *receipt = archive_find(job->argument, &answer->size);
    if (receipt != NULL) {
        answer->status = 200;
        answer->content_type = "application/json";
        answer->body = receipt;
    }
}

static const struct route routes[] = {
    {"GET", "/products", "/products", "category", true, run_products},
    {"GET", "/report", "/report", NULL, true, run_report},
    {"GET", "/cart/{id}", "/cart/", NULL, false, run_cart},
    {"POST", "/checkout", "/checkout", "customer", true, run_checkout},
    {"GET", "/receipt/{order}", "/receipt/", NULL, false, run_receipt},
};

/* Whether `path` is the route's; a number behind the prefix is its argument. */
static bool route_matches(const struct route *route, const char *path, long *argument) {
    size_t length = strlen(route->prefix);
    if (strncmp(path, route->prefix, length) != 0) {
        return false;
    }
    if (strchr(route->name, '{') == NULL) {
        return path[length] == '\0';
    }
    return route_number(path + length, argument);
}

const struct route *route_find(const char *method, const char *path, long *argument) {
    *argument = 0;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (strcmp(method, routes[i].method) == 0 && route_matches(&routes[i], path, argument)) {
            return &routes[i];
        }
    }
    return NULL;
}

bool route_number(const char *text, long *number) {
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 9) {
        return false;
    }
    *number = strtol(text, &end, 10);
    return *end == '\0';
}

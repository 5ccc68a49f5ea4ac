// SPDX-License-Identifier: Apache-2.0
/* The store's queries: prepared once a connection, run by the worker that owns it. */
#include "store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <sqlite3.h>

enum query { RANKED, RECENT, PRODUCT, CATALOGUE, BEGIN, ADD_ORDER, TAKE_STOCK, COMMIT, ROLLBACK, QUERY_COUNT };

static const char *const query_text[QUERY_COUNT] = {
    [RANKED] = "SELECT id, name, category, price_cents, stock, rating FROM products WHERE ?1 = 0 OR category = ?1 "
               "ORDER BY shop_rank(rating, stock, price_cents) DESC, name LIMIT ?2",
    [RECENT] = "SELECT o.id, o.customer, p.name, o.quantity, p.price_cents FROM orders o JOIN products p "
               "ON p.id = o.product_id ORDER BY o.id DESC LIMIT ?1",
    [PRODUCT] = "SELECT id, name, category, price_cents, stock, rating FROM products WHERE id = ?1",
    [CATALOGUE] = "SELECT id, name, category, price_cents, stock, rating FROM products ORDER BY id LIMIT ?1",
    [BEGIN] = "BEGIN IMMEDIATE",
    [ADD_ORDER] = "INSERT INTO orders (customer, product_id, quantity) VALUES (?1, ?2, ?3)",
    [TAKE_STOCK] = "UPDATE products SET stock = max(stock - ?2, 0) WHERE id = ?1",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
};

struct store {
    sqlite3 *database;
    sqlite3_stmt *queries[QUERY_COUNT];
};

/* The shop's ranking, called by SQLite for each row: well rated first, then what is there in numbers, then cheap. */
static void shop_rank(sqlite3_context *context, int count, sqlite3_value **values) {
    (void)count;
    double rating = sqlite3_value_double(values[0]);
    double stock = sqlite3_value_double(values[1]);
    double price = sqlite3_value_double(values[2]);
    sqlite3_result_double(context, rating * 20.0 + log1p(stock) * 3.0 - sqrt(price) / 10.0);
}

static bool store_prepare(struct store *store) {
    if (sqlite3_create_function(store->database, "shop_rank", 3, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, shop_rank,
                                NULL, NULL) != SQLITE_OK) {
        return false;
    }
    for (int i = 0; i < QUERY_COUNT; i++) {
        if (sqlite3_prepare_v3(store->database, query_text[i], -1, SQLITE_PREPARE_PERSISTENT, &store->queries[i],
                               NULL) != SQLITE_OK) {
            return false;
        }
    }
    return true;
}

struct store *store_open(const char *path) {
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        return NULL;
    }
    if (sqlite3_open_v2(path, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(store->database, 2000) != SQLITE_OK ||
        sqlite3_exec(store->database, "PRAGMA synchronous = OFF", NULL, NULL, NULL) != SQLITE_OK ||
        !store_prepare(store)) {
        fprintf(stderr, "shop: database %s: %s\n", path, sqlite3_errmsg(store->database));
        store_close(store);
        return NULL;
    }
    return store;
}

void store_close(struct store *store) {
    if (store == NULL) {
        return;
    }
    for (int i = 0; i < QUERY_COUNT; i++) {
        sqlite3_finalize(store->queries[i]);
    }
    sqlite3_close(store->database);
    free(store);
}

static void read_product(sqlite3_stmt *row, struct product *product) {
    product->id = (long)sqlite3_column_int64(row, 0);
    snprintf(product->name, sizeof product->name, "%s", (const char *)sqlite3_column_text(row, 1));
    product->category = (long)sqlite3_column_int64(row, 2);
    product->price_cents = (long)sqlite3_column_int64(row, 3);
    product->stock = (long)sqlite3_column_int64(row, 4);
    product->rating = sqlite3_column_double(row, 5);
}

/* Reads the rows of a query that was bound, `limit` at most, and resets it. */
static long read_products(sqlite3_stmt *query, struct product *products, size_t limit) {
    size_t count = 0;
    int answer = SQLITE_DONE;
    while (count < limit && (answer = sqlite3_step(query)) == SQLITE_ROW) {
        read_product(query, &products[count++]);
    }
    sqlite3_reset(query);
    return answer == SQLITE_ROW || answer == SQLITE_DONE ? (long)count : -1;
}

long store_ranked(struct store *store, long category, struct product *products, size_t limit) {
    sqlite3_stmt *query = store->queries[RANKED];
    sqlite3_bind_int64(query, 1, category);
    sqlite3_bind_int64(query, 2, (sqlite3_int64)limit);
    return read_products(query, products, limit);
}

long store_catalogue(struct store *store, struct product *products, size_t limit) {
    sqlite3_stmt *query = store->queries[CATALOGUE];
    sqlite3_bind_int64(query, 1, (sqlite3_int64)limit);
    return read_products(query, products, limit);
}

bool store_product(struct store *store, long id, struct product *product) {
    sqlite3_stmt *query = store->queries[PRODUCT];
    sqlite3_bind_int64(query, 1, id);
    return read_products(query, product, 1) == 1;
}

long store_recent_orders(struct store *store, long limit, store_order_fn each, void *user) {
    sqlite3_stmt *query = store->queries[RECENT];
    long count = 0;
    int answer;
    sqlite3_bind_int64(query, 1, limit);
    while ((answer = sqlite3_step(query)) == SQLITE_ROW) {
        struct order_line line = {
            .id = (long)sqlite3_column_int64(query, 0),
            .customer = (long)sqlite3_column_int64(query, 1),
            .product = (const char *)sqlite3_column_text(query, 2),
            .quantity = (long)sqlite3_column_int64(query, 3),
            .price_cents = (long)sqlite3_column_int64(query, 4),
        };
        each(user, &line);
        count++;
    }
    sqlite3_reset(query);
    return answer == SQLITE_DONE ? count : -1;
}

/* Runs a query that gives no rows. */
static bool run(struct store *store, enum query which) {
    int answer = sqlite3_step(store->queries[which]);
    sqlite3_reset(store->queries[which]);
    return answer == SQLITE_DONE;
}

long store_place_order(struct store *store, long customer, long product, long quantity) {
    sqlite3_bind_int64(store->queries[ADD_ORDER], 1, customer);
    sqlite3_bind_int64(store->queries[ADD_ORDER], 2, product);
    sqlite3_bind_int64(store->queries[ADD_ORDER], 3, quantity);
    sqlite3_bind_int64(store->queries[TAKE_STOCK], 1, product);
    sqlite3_bind_int64(store->queries[TAKE_STOCK], 2, quantity);
    if (!run(store, BEGIN)) {
        return -1;
    }
    if (!run(store, ADD_ORDER) || !run(store, TAKE_STOCK) || !run(store, COMMIT)) {
        run(store, ROLLBACK);
        return -1;
    }
    return (long)sqlite3_last_insert_rowid(store->database);
}

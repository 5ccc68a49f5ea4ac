// SPDX-License-Identifier: Apache-2.0
/* Fills a new database with products and orders, the same ones each time. */
#include "store.h"

#include <stdint.h>
#include <stdio.h>

#include <sqlite3.h>

static const char schema[] = "PRAGMA journal_mode = WAL;"
                             "PRAGMA synchronous = OFF;"
                             "BEGIN;"
                             "CREATE TABLE products (id INTEGER PRIMARY KEY, name TEXT NOT NULL, category INTEGER NOT "
                             "NULL, price_cents INTEGER NOT NULL, stock INTEGER NOT NULL, rating REAL NOT NULL);"
                             "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL, product_id "
                             "INTEGER NOT NULL, quantity INTEGER NOT NULL);";

static const char *const adjectives[] = {"plain",  "folding", "heavy",  "quiet",  "walnut",
                                         "copper", "linen",   "sturdy", "narrow", "striped"};
static const char *const things[] = {"lamp", "kettle", "chair", "shelf", "blanket", "clock", "mug", "basket", "ladder"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The next number of a fixed sequence, below `limit`. */
static long next_below(uint64_t *state, long limit) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (long)((*state >> 33) % (uint64_t)limit);
}

static bool insert(sqlite3_stmt *statement) {
    int answer = sqlite3_step(statement);
    sqlite3_reset(statement);
    return answer == SQLITE_DONE;
}

static bool seed_products(sqlite3 *database, uint64_t *state) {
    sqlite3_stmt *add = NULL;
    bool good = sqlite3_prepare_v2(database, "INSERT INTO products VALUES (?1, ?2, ?3, ?4, ?5, ?6)", -1, &add, NULL) ==
                SQLITE_OK;
    for (int id = 1; good && id <= STORE_PRODUCTS; id++) {
        char name[64];
        const char *adjective = adjectives[next_below(state, COUNT(adjectives))];
        const char *thing = things[next_below(state, COUNT(things))];
        snprintf(name, sizeof name, "%s %s no. %d", adjective, thing, id);
        sqlite3_bind_int(add, 1, id);
        sqlite3_bind_text(add, 2, name, -1, SQLITE_TRANSIENT);
        sqlite3_bind_int64(add, 3, 1 + next_below(state, STORE_CATEGORIES));
        sqlite3_bind_int64(add, 4, 199 + next_below(state, 50000));
        sqlite3_bind_int64(add, 5, 1000 + next_below(state, 100000));
        sqlite3_bind_double(add, 6, 1.0 + (double)next_below(state, 400) / 100.0);
        good = insert(add);
    }
    sqlite3_finalize(add);
    return good;
}

static bool seed_orders(sqlite3 *database, uint64_t *state) {
    sqlite3_stmt *add = NULL;
    bool good = sqlite3_prepare_v2(database, "INSERT INTO orders VALUES (?1, ?2, ?3, ?4)", -1, &add, NULL) == SQLITE_OK;
    for (int id = 1; good && id <= STORE_ORDERS; id++) {
        sqlite3_bind_int(add, 1, id);
        sqlite3_bind_int64(add, 2, 1 + next_below(state, 800));
        sqlite3_bind_int64(add, 3, 1 + next_below(state, STORE_PRODUCTS));
        sqlite3_bind_int64(add, 4, 1 + next_below(state, 5));
        good = insert(add);
    }
    sqlite3_finalize(add);
    return good;
}

bool store_seed(const char *path) {
    sqlite3 *database = NULL;
    uint64_t state = 20261123;
    bool good = sqlite3_open(path, &database) == SQLITE_OK &&
                sqlite3_exec(database, schema, NULL, NULL, NULL) == SQLITE_OK && seed_products(database, &state) &&
                seed_orders(database, &state) && sqlite3_exec(database, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
    if (!good) {
        fprintf(stderr, "shop: database %s: %s\n", path, sqlite3_errmsg(database));
    }
    sqlite3_close(database);
    return good;
}

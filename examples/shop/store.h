// SPDX-License-Identifier: Apache-2.0
/* Products and orders in SQLite. A store is one connection, used by one thread at a time. */
#ifndef SHOP_STORE_H
#define SHOP_STORE_H

#include <stdbool.h>
#include <stddef.h>

#define STORE_PRODUCTS 3000
#define STORE_ORDERS 12000
#define STORE_CATEGORIES 12

struct store;

struct product {
    long id;
    char name[64];
    long category;
    long price_cents;
    long stock;
    double rating;
};

struct order_line {
    long id;
    long customer;
    const char *product; /* valid during the callback */
    long quantity;
    long price_cents;
};

typedef void (*store_order_fn)(void *user, const struct order_line *line);

/* Makes the tables in the file `path` and fills them, always with the same rows. */
bool store_seed(const char *path);

/* Opens a connection. NULL, after a line on stderr, when that is not possible. */
struct store *store_open(const char *path);

/* Closes a connection. NULL is fine. */
void store_close(struct store *store);

/* The best `limit` products of a category (0: of all) by the shop's ranking. How many, or -1. */
long store_ranked(struct store *store, long category, struct product *products, size_t limit);

/* Calls `each` for the newest `limit` orders. How many, or -1. */
long store_recent_orders(struct store *store, long limit, store_order_fn each, void *user);

/* Reads one product. False when there is none. */
bool store_product(struct store *store, long id, struct product *product);

/* Reads all products in order of their ids into `products`, which has room for `limit`. How many, or -1. */
long store_catalogue(struct store *store, struct product *products, size_t limit);

/* Adds an order for a product and takes it from the stock, in one transaction. The order's id, or -1. */
long store_place_order(struct store *store, long customer, long product, long quantity);

#endif

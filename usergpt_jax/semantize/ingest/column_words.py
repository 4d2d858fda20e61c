"""The names that logs give to their columns, for `suggest`."""

import re

# Mapping key -> names as logs write them, the likeliest first; compared without case, spaces and punctuation.
COLUMNS = {
    "user_id": (
        *("user_id", "userid", "uid", "customer_id", "customerid", "client_id", "member_id", "account_id", "buyer_id"),
        *("shopper_id", "visitor_id", "user_pseudo_id", "full_visitor_id", "distinct_id", "profile_id", "hhid"),
        *("household_key", "user", "customer", "client", "member", "user_email", "email", "anonymous_id", "id_user"),
    ),
    "time": (
        *(
            "timestamp",
            "event_time",
            "event_timestamp",
            "datetime",
            "time",
            "ts",
            "event_date",
            "date_time",
            "created_at",
        ),
        *(
            "occurred_at",
            "order_date",
            "order_time",
            "purchase_date",
            "invoice_date",
            "invoicedate",
            "transaction_date",
        ),
        *(
            "order_purchase_timestamp",
            "server_time",
            "visit_time",
            "viewed_at",
            "original_timestamp",
            "sent_at",
            "date",
        ),
        *("when", "created", "day"),
    ),
    "action_column": (
        *("action", "event_type", "event_name", "event", "behavior_type", "behaviour_type", "behavior", "behaviour"),
        *("action_type", "activity", "activity_type", "interaction", "interaction_type", "type", "operation"),
    ),
    "source_column": ("source", "platform", "channel", "app", "app_name", "site", "service", "domain", "utm_source"),
    "title": (
        *(
            "title",
            "product_name",
            "item_name",
            "product_title",
            "item_title",
            "name",
            "product",
            "item",
            "description",
        ),
        *("product_description", "search_query", "query", "search_term", "keyword", "goods_name", "poi_name"),
        *("venue_name", "place_name", "page_title"),
    ),
    "category": (
        *("category", "category_name", "product_category", "item_category", "category_path", "category_code"),
        *("product_type", "product_category_name", "department", "genre", "subcategory", "cat"),
    ),
    "item_id": (
        *("item_id", "itemid", "product_id", "productid", "sku", "stock_code", "stockcode", "asin", "goods_id", "upc"),
        *("article_id", "product_code", "item_code", "venue_id", "poi_id"),
    ),
    "place": (
        "place",
        "location",
        "address",
        "city",
        "store",
        "store_name",
        "shop",
        "region",
        "state",
        "country",
        "venue",
    ),
    "price": (
        *("price", "unit_price", "unitprice", "item_price", "product_price", "sale_price", "price_each", "amount"),
        *("cost", "value", "total", "revenue", "sales", "price_in_cents", "price_cents"),
    ),
    "quantity": ("quantity", "qty", "count", "units", "num_items", "item_count", "amount_ordered", "quantity_ordered"),
    "unroll": (
        "products",
        "items",
        "line_items",
        "order_items",
        "cart_items",
        "order_lines",
        "lines",
        "articles",
        "goods",
    ),
}
CALLS = ("track", "identify", "page", "screen", "group", "alias")  # the column `type` of Segment's calls
# Objects that tell of the device, the page and the user; what is called a name there is no item's.
_ASIDE = ("context", "traits", "integrations")
_FROM_ASIDE = ("user_id", "time", "place")


def plain(name: str) -> str:
    """A name without case, spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def is_named(key: str, column: str) -> bool:
    """Whether a column, or the last part of its path, has a name of `key`."""
    return plain(column.rsplit(".", 1)[-1]) in map(plain, COLUMNS[key])


def ranked(key: str, columns: list[str], unroll: str = "") -> list[str]:
    """The columns that may be `key`, likeliest first: the whole name, the last part of a path, then a part of it.

    Columns of the list `unroll` that have a name of `key` go first.
    """
    known = [plain(name) for name in COLUMNS[key]]
    found: list[tuple[bool, int, int, int]] = []
    for at, column in enumerate(columns):
        aside = column.split(".")[0] in _ASIDE
        if aside and key not in _FROM_ASIDE:
            continue
        last = plain(column.rsplit(".", 1)[-1])
        inside_list = bool(unroll) and column.startswith(f"{unroll}.")
        if plain(column) in known:
            found.append((aside, 0, known.index(plain(column)), at))
        elif last in known:
            found.append((aside, -1 if inside_list else 1, known.index(last), at))
        else:
            ends = _ends(column.rsplit(".", 1)[-1])
            inside = [i for i, name in enumerate(known) if len(name) > 4 and any(end.startswith(name) for end in ends)]
            if inside:
                found.append((aside, 2, inside[0], at))
    return [columns[at] for *_, at in sorted(found)]


def _ends(name: str) -> list[str]:
    """A name from each of its words on: of "orderTotal" "ordertotal" and "total"; "revenue" holds no venue."""
    words = [plain(word) for word in re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name).replace("_", " ").split()]
    return ["".join(words[i:]) for i in range(len(words))]

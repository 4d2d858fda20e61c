"""What the values of action and source columns are called by, for `suggest`; whole words only, verbs before nouns."""

import re

from usergpt_jax import schema

# Group -> its words, to which endings as -s, -ed and -ing are added.
_ACTION_GROUPS = {
    "undo": "remove removefromcart delete cancel cancelled cancelling cancellation refund return dislike unlike"
    " unfavorite decline deny fail abandon",
    "account": "login logout signin signup sign register registration identify session subscribe unsubscribe",
    "aside": "share update review rate rating filter sort ship shipped shipping deliver delivery",
    "advert": "coupon promotion newsletter email notification",
    "view": "view seen impression",
    "look": "click open start begin began initiate tap tapped browse watch select play listen read viewcontent",
    "search": "search query queries find found lookup",
    "favorite": "favorite favourite fav like star starred wish wishlist bookmark collect save addtowishlist",
    "buy": "buy bought purchase pay paid book",
    "add": "add addtocart",
    "visit": "visit checkin arrive arrival enter",
    "complete": "complete",
    "page": "page screen detail pv pageview",
    "order": "order payment transaction sale booking reservation",
    "cart": "cart basket bag",
    "checkout": "checkout",
    "step": "step",
    "info": "info information method",
    "to": "to",
    "check": "check",
    "in": "in",
}
# Groups that must all be in a value, and the action it then stands for ("": none); the first that fits counts.
_ACTIONS = (
    *((("undo",), ""), (("account",), ""), (("aside",), ""), (("advert",), "")),
    *((("checkout", "step"), ""), (("order", "info"), "")),
    (("to", "cart"), "cart"),
    *((("view", "cart"), ""), (("look", "cart"), ""), (("view", "checkout"), ""), (("look", "checkout"), "")),
    (("view", "search"), "search"),  # its results
    *((("view",), "click"), (("look",), "click"), (("search",), "search"), (("favorite",), "favorite")),
    *((("buy",), "purchase"), (("add",), "cart"), (("checkout", "complete"), "purchase")),
    *((("page",), "click"), (("visit",), "visit"), (("check", "in"), "visit")),
    *((("order",), "purchase"), (("cart",), "cart")),
)
_SOURCES = {
    "delivery": "delivery deliver deliveries deliveroo food meal meals takeout takeaway restaurant restaurants grocery"
    " groceries",
    "travel": "travel hotel hotels flight flights train trains trip trips airline booking",
    "poi": "poi map maps venue venues place places checkin local",
    "ecommerce": "shop shopping webshop store commerce ecommerce retail web website app ios android mobile desktop"
    " market marketplace supermarket",
}
# The names in Segment's e-commerce specification that tell of an action.
TRACK_EVENTS = (
    *("Products Searched", "Product List Viewed", "Product Clicked", "Product Viewed", "Product Added"),
    *("Product Added to Wishlist", "Wishlist Product Added to Cart", "Order Completed"),
)


def _forms(word: str) -> set[str]:
    """A word with the endings of verbs and nouns: view, views, viewed, viewing; share, shares, shared, sharing."""
    stem = word.removesuffix("e")
    past = f"{stem[:-1]}ied" if stem.endswith("y") and stem == word else f"{stem}ed"
    return {word, f"{word}s", f"{word}es", past, f"{word}ed", f"{stem}ing"}


_ACTION_WORDS = {
    group: {form for word in text.split() for form in _forms(word)} for group, text in _ACTION_GROUPS.items()
}


def words(value: str) -> set[str]:
    """The words of a value, parted by case, spaces and punctuation: of "addToCart" add, to, cart and addtocart."""
    whole = re.findall(r"[a-z]+", value.lower())
    return {*whole, *(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", value))}


def action(value: str) -> str | None:
    """The action that a value stands for, "" for one to leave out, None where nothing is known about it."""
    if value in schema.ACTIONS:
        return value
    found = {group for group, known in _ACTION_WORDS.items() if known & words(value)}
    return next((meaning for groups, meaning in _ACTIONS if found.issuperset(groups)), None)


def source(value: str) -> str | None:
    """The source that a value stands for, None where nothing is known about it."""
    if value in schema.SOURCES:
        return value
    return next((meaning for meaning, known in _SOURCES.items() if words(value).intersection(known.split())), None)


def is_sure(value: str) -> bool:
    """Whether a value is an action or source itself or a name of Segment's specification, and no guess."""
    return value in (*schema.ACTIONS, *schema.SOURCES, *TRACK_EVENTS)

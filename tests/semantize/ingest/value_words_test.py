import pytest

from usergpt_jax.semantize.ingest import value_words

# Action ("" for none, None for not understood) -> values.
ACTIONS = {
    "click": (
        *("view", "pv", "click", "Order Viewed", "Sale Page Viewed", "facebook_click", "Book Opened", "tapped"),
        *("Designer Clicked", "Search Result Clicked", "video_started", "PageView", "view_item_list", "ViewContent"),
        *("browsing", "Starter Kit Viewed", "Store Page", "product_detail"),
    ),
    "search": ("search", "Products Searched", "view_search_results", "queries"),
    "favorite": ("fav", "liked", "saved", "add_to_wishlist", "Product Added to Wishlist", "addToWishlist"),
    "cart": ("cart", "add", "add_to_cart", "addToCart", "ADD_TO_CART", "addtocart", "Wishlist Product Added to Cart"),
    "purchase": (
        *("purchase", "buy", "Item Bought", "orderCompleted", "Order Placed", "Checkout Completed", "sale"),
        *("Payment Completed", "Purchase Completed", "booking", "transaction"),
    ),
    "visit": ("visit", "checkin", "Check In", "arrived"),
    "": (
        *("dislike", "unliked", "remove_from_cart", "Removed", "View Basket", "Cart Viewed", "view_cart"),
        *("Registration Completed", "CompleteRegistration", "sign_up", "session_start", "Checkout Started", "refund"),
        *("Email Opened", "Promotion Clicked", "add_payment_info", "Cart Abandoned", "Order Cancelled"),
        *("Book Returned", "Order Shipped"),
    ),
    None: ("video_completed", "Designer", "Signal", "Story", "Facebook", "complete", "Alike", "购买"),
}


@pytest.mark.parametrize(("action", "value"), [(action, value) for action in ACTIONS for value in ACTIONS[action]])
def test_an_event_is_understood_by_its_whole_words_and_its_verb_first(action, value):
    assert value_words.action(value) == action


@pytest.mark.parametrize(
    ("value", "source"),
    [("iOS", "ecommerce"), ("food_delivery", "delivery"), ("Hotels", "travel"), ("sitemap", None), ("poi", "poi")],
)
def test_a_source_is_understood_by_its_whole_words(value, source):
    assert value_words.source(value) == source


def test_a_value_is_parted_by_case_spaces_and_punctuation():
    assert value_words.words("addToCart") == {"add", "to", "cart", "addtocart"}
    assert value_words.words("ORDER-completed_2 x") == {"order", "completed", "x"}

"""Segment `track` calls in JSONL, with the events and properties of Segment's e-commerce specification.

Command:
python launch/ingest.py --events 'segment/*.jsonl.gz' --map configs/maps/segment_track.py --run runs/segment

Every product of an order is an event of its own. Anonymous visitors (calls without userId) are dropped; calls by other
names too, and the report counts and names the first of both. `time_zone` makes the UTC of Segment local.
"""


def get_config() -> dict:
    return {
        "keep": {"type": ("track",)},
        "user_id": "userId",
        "time": ("timestamp", "originalTimestamp", "sentAt"),
        "source": "ecommerce",
        "action_column": "event",
        "action_values": {
            "Products Searched": "search",
            "Product List Viewed": "click",
            "Product Clicked": "click",
            "Product Viewed": "click",
            "Product Added": "cart",
            "Product Added to Wishlist": "favorite",
            "Wishlist Product Added to Cart": "cart",
            "Order Completed": "purchase",
            # Neither intent of its own nor a purchase, or the same purchase again.
            "Product Removed": "",
            "Product Removed from Wishlist": "",
            "Product List Filtered": "",
            "Promotion Viewed": "",
            "Promotion Clicked": "",
            "Product Shared": "",
            "Cart Viewed": "",
            "Cart Shared": "",
            "Checkout Started": "",
            "Checkout Step Viewed": "",
            "Checkout Step Completed": "",
            "Payment Info Entered": "",
            "Order Updated": "",
            "Order Refunded": "",
            "Order Cancelled": "",
            "Coupon Entered": "",
            "Coupon Applied": "",
            "Coupon Denied": "",
            "Coupon Removed": "",
            "Product Reviewed": "",
            "*": "",
        },
        "unroll": "properties.products",
        "title": ("properties.products.name", "properties.name", "properties.query", "properties.category"),
        "category": ("properties.products.category", "properties.category"),
        "item_id": (
            "properties.products.product_id",
            "properties.product_id",
            "properties.products.sku",
            "properties.sku",
        ),
        "price": ("properties.products.price", "properties.price"),
        "quantity": ("properties.products.quantity", "properties.quantity"),
        "nonpositive_price": "null",
        "currency": "USD",
    }

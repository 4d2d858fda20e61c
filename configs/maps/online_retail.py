"""UCI "Online Retail" (Daqing Chen, 2015, doi 10.24432/C5BW33, CC BY 4.0): a UK gift shop, 2010-12 to 2011-12.

Command:
python launch/ingest.py --events online_retail.parquet --map configs/maps/online_retail.py --run runs/online_retail
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "user_id": "CustomerID",
            "time": "InvoiceDate",
            "source": "ecommerce",
            "action": "purchase",
            "title": "Description",
            "item_id": "StockCode",
            "place": "Country",
            "price": "UnitPrice",
            "quantity": "Quantity",
            "cancel_column": "InvoiceNo",
            "cancel_prefix": "C",
            "negative_quantity": "drop",  # without C: stock corrections
            "nonpositive_price": "drop",
            # postage, dotcom postage, manual, carriage, discount, samples, charity, bank charges, fees, bad debt
            "ignored_items": (
                "POST",
                "DOT",
                "M",
                "m",
                "C2",
                "D",
                "S",
                "CRUK",
                "PADS",
                "B",
                "BANK CHARGES",
                "AMAZONFEE",
                "23444",  # Next Day Carriage
            ),
            "currency": "GBP",
        }
    )

"""The Singer tap for Stripe reads events, window by window, through Stripe's own library for Python."""
import os

import stripe
import tap_stripe
from singer import utils

stripe.api_base = os.environ["API_URL"]
stripe.api_key = os.environ["KEY"]
stripe.api_version = "2022-11-15"  # the tap's

context = tap_stripe.Context
context.config = {"start_date": os.environ["SINCE"], "account_id": "acct_1032D82eZvKYlo2C", "client_secret": os.environ["KEY"]}
context.state, context.catalog, context.tap_start = {}, tap_stripe.discover(), utils.now()
context.window_size, context.event_update_window_size = 2.0, 7.0
for stream in context.catalog["streams"]:
    for entry in stream["metadata"]:
        if not entry["breadcrumb"]:
            entry["metadata"]["selected"] = stream["tap_stream_id"] == "events"
tap_stripe.sync()

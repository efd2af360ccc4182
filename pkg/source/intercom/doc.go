// Package intercom reads Intercom's webhook notifications, of API versions 1.x
// and 2.x.
//
// Signature: X-Hub-Signature is "sha1=" and the hex of HMAC-SHA1 over the raw
// body, keyed with the app's client secret. No time is signed, so only an
// event's identity stops a replay.
//
// Retries: the answer must come within 5 s. A 429 holds a subscription's
// notifications back for a minute to two hours, then drops them; any other
// failure gets one retry after a minute; a 410 ends the subscription; seven days
// of errors suspend a private app's. An address is checked with HEAD first.
// Sources: developers.intercom.com/docs/references/2.16/webhooks/webhook-models
// ("Handling Webhook notifications", "Signed notifications") and
// developers.intercom.com/docs/webhooks/{setting-up-webhooks,webhook-notifications}.
//
// Identity: Intercom keeps no log of notifications, and several apps of one
// workspace are each notified of one fact. So a fact that Intercom's API also
// tells has an id made of the fact, scoped by workspace (app_id), and only the
// rest have the notification's:
//
//	conversation created        <app>:conversation:<id>:created
//	conversation reply, note    <app>:conversation:<id>:part:<part id>
//	contact created             <app>:contact:<id>:created
//	lead created                <app>:lead:<id>:created (it may become a user later)
//	company created             <app>:company:<id>:created
//	ticket created              <app>:ticket:<id>:created
//	ticket reply, note          <app>:ticket:<id>:part:<part id>
//	contact merged              <app>:contact:<id>:merged:<id of the other>
//	any other                   <app>:<notification id>, which no backfill can meet
//
// An object of Intercom's API, alone or in one of its lists, is the fact that it
// was created; its workspace is app_id, workspace_id or, for the objects without
// either, the tenant that is set.
//
// A reply without the part it tells of has the notification's id too: it is on
// the timeline, but a backfill of that reply would be a second event.
//
// Not handled: a contact's eleventh company and beyond (Intercom sends ten), and a
// conversation's company where the notification does not carry it.
package intercom

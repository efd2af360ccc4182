// Package cloudevents is the format of senders that post CloudEvents 1.0 (Azure
// Event Grid, Knative, Argo, Google Eventarc, SAP and others). It is no source by
// itself: a person names one for each sender, which then has its own topic, path,
// secrets and mapping.
//
// Content modes: structured (an event in application/cloudevents+json), batched
// (application/cloudevents-batch+json) and binary (attributes in ce-… headers, the
// data as the body). A raw record is an event of the JSON format in any of them.
// Of the binary mode Split makes that object: the attributes in the order of their
// names, datacontenttype of the Content-Type header, and the body as data. Header
// values lose their quotes and then one round of percent-encoding, as the HTTP
// binding says (3.1.3.2); a percent sign that escapes nothing stays, since senders
// (sdk-go v2.16) forget to encode it. Other data than JSON is refused in the binary
// mode (415), and kept as text or data_base64 in the others.
//
// Signature: none. The specification ("HTTP 1.1 Web Hooks for Event Delivery", 3)
// has a token in Authorization: Bearer …, taken here, as is one in
// X-Throughline-Token for senders that let one choose a header. The other way that
// it allows, ?access_token=…, is refused: proxies log addresses.
//
// Handshake: OPTIONS with WebHook-Request-Origin is answered with that origin in
// WebHook-Allowed-Origin and any rate. It asks for no token, and permits nothing
// that the token does not: a delivery needs it all the same. A callback address is
// not called.
//
// Retries: any answer but 2xx, by the sender's own schedule; 410 ends the
// subscription, so that it is never answered.
//
// Identity: source and id, which the specification makes unique, joined by a
// colon; a colon in either is %3A (source.ID). It is not scoped by tenant.
//
// Time: time, else the receipt. Where the rest lies, a mapping.Mapping says; its
// pointers below /data lead into data_base64 too, if that holds JSON.
//
// Not handled: CloudEvents 0.x, the Avro, Protobuf and XML formats, dataref (the
// data that only another address has).
//
// Facts: github.com/cloudevents/spec v1.0.2 cloudevents/spec.md,
// formats/json-format.md, bindings/http-protocol-binding.md, http-webhook.md;
// cloudevents/sdk-go v2.16.2.
package cloudevents

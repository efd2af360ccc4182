package vendors

// segmentVendor: the calls of Segment's spec, as a destination forwards them, alone
// and in batches.
// Shapes: segmentio/segment-docs, connections/spec.
func segmentVendor() *vendor {
	v := &vendor{name: "segment", kinds: map[string]string{"user": "id user- 11", "anonymous": "uuid anonymous"}}
	add := func(vendorType, call, members string) {
		v.forms = append(v.forms, &form{vendor: vendorType, file: "call", batch: "batch", vars: parts("type", call, "members", members)})
	}
	add("track (by its event's name: Order Completed)", "track", `, "event": "Order Completed", "properties": {"revenue": {{amount}}, "note": "{{text As usual}}"}`)
	add("identify", "identify", `, "traits": {"email": "{{email}}", "name": "{{person}}"}`)
	add("group", "group", `, "groupId": "{{own id acct- 11}}", "traits": {"name": "{{company}}", "website": "https://{{domain}}"}`)
	add("page", "page", `, "name": "{{subject Pricing}}", "properties": {"path": "/pricing"}`)
	add("screen", "screen", `, "name": "{{subject Home}}", "properties": {}`)
	add("alias", "alias", `, "previousId": "{{ref anonymous}}"`)
	add("delete", "delete", "")
	return v
}

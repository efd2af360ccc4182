package vendors

import "strings"

// salesforceVendor: outbound messages, the change events that a subscriber of the
// Pub/Sub API forwards, and a record that a query gives.
// Shapes: Salesforce's SOAP API guide ("Outbound Messaging"), its Change Data Capture
// guide and the REST API's query resource.
func salesforceVendor() *vendor {
	v := &vendor{name: "salesforce", tenant: "00D5g000004xQzLEAU", kinds: map[string]string{
		"account": "salesforce 001", "contact": "salesforce 003", "lead": "salesforce 00Q", "opportunity": "salesforce 006",
		"case": "salesforce 500", "contract": "salesforce 800", "order": "salesforce 801", "asset": "salesforce 02i",
	}}
	const account = "<sf:AccountId>{{ref account}}</sf:AccountId>"
	notification := func(vendorType, object, fields string) {
		v.forms = append(v.forms, &form{vendor: vendorType, file: "notification.xml", batch: "message.xml", vars: parts("object", object, "fields", fields)})
	}
	notification("Account", "Account", "<sf:Id>{{ref account}}</sf:Id><sf:Name>{{company}}</sf:Name><sf:Website>https://www.{{domain}}/</sf:Website>"+
		"<sf:Account_UUID__c>{{account}}</sf:Account_UUID__c>")
	notification("Contact", "Contact", "<sf:Id>{{ref contact}}</sf:Id>"+account+"<sf:Name>{{person}}</sf:Name><sf:Email>{{email}}</sf:Email>")
	notification("Lead", "Lead", "<sf:Id>{{ref lead}}</sf:Id><sf:Name>{{person}}</sf:Name><sf:Company>{{company}}</sf:Company><sf:Email>{{email}}</sf:Email>")
	notification("Opportunity", "Opportunity", "<sf:Id>{{ref opportunity}}</sf:Id>"+account+"<sf:Name>{{subject Arms}}</sf:Name><sf:StageName>{{text Closed Won}}</sf:StageName><sf:Amount>{{amount}}</sf:Amount>")
	notification("Case", "Case", "<sf:Id>{{ref case}}</sf:Id>"+account+"<sf:ContactId>{{ref contact}}</sf:ContactId><sf:Subject>{{subject It broke}}</sf:Subject>"+
		"<sf:Description>{{text It broke.}}</sf:Description><sf:SuppliedEmail>{{email}}</sf:SuppliedEmail>")
	for _, object := range []string{"Contract", "Order", "Asset"} {
		kind := strings.ToLower(object)
		notification(object, object, "<sf:Id>{{ref "+kind+"}}</sf:Id>"+account)
	}
	notification("Invoice__c (any object of your own)", "Invoice__c", "<sf:Id>{{salesforce a00}}</sf:Id><sf:Account__c>{{ref account}}</sf:Account__c><sf:Name>{{subject INV-1}}</sf:Name>")
	v.forms = append(v.forms, &form{vendor: "Account, IsDeleted (so of any object)", file: "record", batch: "batch"})
	for _, change := range []string{"CREATE", "UPDATE", "DELETE", "UNDELETE", "GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "GAP_OVERFLOW"} {
		record, fields := "{{ref account}}", ""
		switch change {
		case "CREATE", "UPDATE":
			fields = `, "Name": "{{company}}", "Website": "https://www.{{domain}}/", "LastModifiedDate": "{{milli3339}}"`
		case "GAP_OVERFLOW":
			record = "000000000000000AAA"
		}
		v.forms = append(v.forms, &form{vendor: "AccountChangeEvent " + change + " (so of any object)", file: "change", batch: "batch",
			vars: parts("change", change, "record", record, "fields", fields)})
	}
	return v
}

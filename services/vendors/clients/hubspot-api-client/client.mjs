// HubSpot's own SDK reads the CRM as the puller does, an archived list, associations,
// and sets up webhook subscriptions.
import { Client } from '@hubspot/api-client'

const { API_URL, TOKEN } = process.env
const hubspot = new Client({ accessToken: TOKEN, basePath: API_URL, numberOfApiCallRetries: 0 })
const print = (value) => console.log(JSON.stringify(value))

const ids = []
for (let after = '0', more = true; more;) {
  const page = await hubspot.crm.contacts.searchApi.doSearch({
    filterGroups: [{ filters: [
      { propertyName: 'lastmodifieddate', operator: 'GTE', value: '0' },
      { propertyName: 'hs_object_id', operator: 'GT', value: after },
    ] }],
    sorts: ['hs_object_id'], properties: ['email', 'lifecyclestage'], limit: 100,
  })
  for (const contact of page.results) {
    if (!(contact.createdAt instanceof Date) || Number.isNaN(contact.createdAt.getTime())) throw new Error('createdAt is no date')
    ids.push(contact.id)
  }
  after = ids.at(-1)
  more = page.results.length === 100
}
print({ search: ids.length, first: ids[0], last: ids.at(-1) })

// The same by the SDK's own paging.
const paged = []
for (let after; ;) {
  const page = await hubspot.crm.contacts.searchApi.doSearch({ filterGroups: [], sorts: ['hs_object_id'], properties: [], limit: 150, after })
  paged.push(...page.results.map((contact) => contact.id))
  after = page.paging?.next?.after
  if (!after) break
}
print({ paged: paged.length })

try {
  await hubspot.crm.contacts.searchApi.doSearch({ filterGroups: [], limit: 201 })
} catch (err) {
  print({ refused: err.code, category: err.body.category })
}
try {
  await hubspot.crm.contacts.searchApi.doSearch({ filterGroups: [], limit: 100, after: '9950' })
} catch (err) {
  print({ beyond: err.code })
}

const batch = await hubspot.crm.contacts.batchApi.read({ inputs: [{ id: '901' }, { id: '902' }], properties: ['email'], propertiesWithHistory: ['lifecyclestage'] })
print({ batch: batch.results.map((contact) => [contact.id, contact.propertiesWithHistory?.lifecyclestage?.map((version) => version.value)]) })

const associations = await hubspot.crm.associations.v4.batchApi.getPage('contacts', 'companies', { inputs: [{ id: '901' }] })
print({ companies: associations.results.map((result) => [result._from.id, result.to.map((to) => [String(to.toObjectId), to.associationTypes[0].typeId])]) })

const archived = await hubspot.crm.companies.basicApi.getPage(100, undefined, ['domain'], undefined, undefined, true)
print({ archived: archived.results.map((company) => [company.id, company.archived, company.archivedAt instanceof Date]) })

const developer = new Client({ developerApiKey: TOKEN, basePath: API_URL })
await developer.webhooks.settingsApi.configure(54321, { targetUrl: 'https://hooks.example.com/webhooks/hubspot', throttling: { maxConcurrentRequests: 10, period: 'SECONDLY' } })
await developer.webhooks.subscriptionsApi.create(54321, { eventType: 'deal.propertyChange', propertyName: 'dealstage', active: true })
const subscriptions = await developer.webhooks.subscriptionsApi.getAll(54321)
print({ subscriptions: subscriptions.results.map((s) => [s.id, s.eventType, s.propertyName, s.active]) })

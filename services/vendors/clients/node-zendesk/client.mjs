// The SDK for Zendesk walks the lists by cursor, reads the first page of incremental
// exports, at which it ends by itself, and looks at webhooks.
import { createRequire } from 'node:module'
const { createClient } = createRequire(import.meta.url)('node-zendesk')

const { API_URL, EMAIL, TOKEN } = process.env
const zendesk = createClient({ username: EMAIL, token: TOKEN, endpointUri: API_URL + '/api/v2' })
const print = (value) => console.log(JSON.stringify(value))
const result = (answer) => answer.result ?? answer
const since = Math.floor(Date.now() / 1000) - 30 * 24 * 3600

const different = (all) => new Set(all.map((one) => one.id)).size
print({ tickets: different(await zendesk.tickets.list()) })
print({ users: different(await zendesk.users.list()) })
print({ organizations: different(await zendesk.organizations.list()) })
print({ exported: different(result(await zendesk.tickets.incremental(since))) })
print({ events: different(result(await zendesk.ticketevents.incrementalInclude(since, 'comment_events')).flatMap((one) => one.child_events).filter((one) => one.body)) })
print({ shown: result(await zendesk.users.showMany([9000, 9001])).map((one) => one.email) })
print({ webhooks: result(await zendesk.webhooks.list()).map((one) => one.id) })
try {
  await zendesk.webhooks.show('nobody')
} catch (err) {
  print({ refused: err instanceof Error })
}

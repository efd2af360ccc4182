// Intercom's own SDK pages through the searches, reads a conversation with its parts,
// and scrolls through companies.
import { IntercomClient } from 'intercom-client'

const { API_URL, TOKEN } = process.env
const intercom = new IntercomClient({ token: TOKEN, environment: API_URL })
const print = (value) => console.log(JSON.stringify(value))
const all = async (pages) => {
  const found = []
  for await (const one of await pages) found.push(one)
  return found
}
const changed = { field: 'updated_at', operator: '>', value: 0 }
const pagination = { per_page: 20 }

const conversations = await all(intercom.conversations.search({ query: changed, pagination }))
print({ conversations: new Set(conversations.map((one) => one.id)).size })
const one = await intercom.conversations.find({ conversation_id: conversations[0].id })
print({ parts: one.conversation_parts.conversation_parts.length, counted: one.statistics.count_conversation_parts })

const contacts = await all(intercom.contacts.search({ query: changed, pagination }))
print({ contacts: new Set(contacts.map((contact) => contact.id)).size })
const contact = await intercom.contacts.find({ contact_id: 'p1' })
print({ contact: [contact.id, contact.external_id, contact.companies.data.map((company) => company.id)] })

const companies = await all(intercom.companies.scroll())
print({ companies: new Set(companies.map((company) => company.id)).size })

const me = await intercom.admins.identify()
print({ app: me.app.id_code })

try {
  await intercom.contacts.find({ contact_id: 'nobody' })
} catch (err) {
  print({ refused: err.statusCode, code: err.body.errors[0].code })
}

// Logs in with the client credentials flow, and pages through a query, deleted records
// too; then a query that is refused, and a session that is none.
import jsforce from "jsforce";

const [clientId, clientSecret] = process.env.KEY.split(":");
const oauth2 = new jsforce.OAuth2({ loginUrl: process.env.API_URL, clientId, clientSecret });
const conn = new jsforce.Connection({ oauth2, instanceUrl: process.env.API_URL, version: "67.0" });
const user = await conn.authorize({ grant_type: "client_credentials" });
console.log(JSON.stringify({ organization: user.organizationId }));

const read = async (scanAll) => {
  const ids = [];
  await conn.query("SELECT Id, Email, SystemModstamp FROM Contact WHERE AccountId = '0010800000XyZaBAAV' ORDER BY SystemModstamp, Id")
    .on("record", (r) => ids.push(r.Id)).run({ autoFetch: true, maxFetch: 100000, scanAll });
  return ids;
};
const here = await read(false), all = await read(true);
console.log(JSON.stringify({ here: here.length, all: all.length, different: new Set(all).size, first: all[0], last: all.at(-1) }));
console.log(JSON.stringify({ usage: conn.limitInfo.apiUsage.limit }));
for (const soql of ["SELECT FIELDS(ALL) FROM Contact", "SELECT Id FROM Nothing"]) {
  await conn.query(soql).then(() => console.log("{}"), (e) => console.log(JSON.stringify({ refused: e.errorCode })));
}
const other = new jsforce.Connection({ instanceUrl: process.env.API_URL, accessToken: "none", version: "67.0" });
await other.query("SELECT Id FROM Contact").then(() => console.log("{}"), (e) => console.log(JSON.stringify({ refused: e.errorCode })));

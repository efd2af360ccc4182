// Logs in, runs a query of System Activity, and reads users and scheduled plans.
import { LookerNodeSDK, NodeSettings } from "@looker/sdk-node";
import { DelimArray } from "@looker/sdk-rtl";

const tell = (value) => process.stdout.write(JSON.stringify(value) + "\n");
for (const method of ["log", "info", "debug"]) console[method] = console.error; // the SDK says something of its own

const [client_id, client_secret] = process.env.KEY.split(":");
const settings = new NodeSettings("", { base_url: process.env.API_URL, client_id, client_secret, verify_ssl: "false", timeout: "30" });
settings.readConfig = () => ({ base_url: process.env.API_URL, client_id, client_secret });
const sdk = LookerNodeSDK.init40(settings);
const run = async (body) => sdk.ok(sdk.run_inline_query({ result_format: "json", body }));

const rows = await run({ model: "system__activity", view: "history", fields: ["history.id", "history.created_time", "user.email"], sorts: ["history.id"], limit: "5000", query_timezone: "UTC" });
tell({ rows: rows.length, first: rows[0]["history.id"], last: rows.at(-1)["history.id"], time: rows[0]["history.created_time"] });
const behind = await run({ model: "system__activity", view: "history", fields: ["history.id"], filters: { "history.id": ">5000" }, sorts: ["history.id"], limit: "5000", query_timezone: "UTC" });
tell({ behind: behind.length });
const failed = await run({ model: "system__activity", view: "nothing", fields: ["a.b"] });
tell({ failed: Object.keys(failed[0]) });
const users = await sdk.ok(sdk.all_users({ ids: new DelimArray(["7", "8"]), fields: "id,email,credentials_embed" }));
tell(users.map((u) => [u.id, u.email, u.credentials_embed[0]?.external_group_id]));
const plans = await sdk.ok(sdk.all_scheduled_plans({ all_users: true }));
tell(plans.map((p) => p.scheduled_plan_destination[0].type));

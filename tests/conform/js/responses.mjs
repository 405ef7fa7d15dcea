/* OpenAI's client: responses. */
import OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { LONG_SCHEMA, active, all, assert, checks, differs, png, refused, refusedOr, stops, texts, tokens, unsupported, until } from "./lib.mjs";
import { STORY, connect } from "./openai.mjs";

const check = checks("openai-js");
const client = connect();
const SHORT = { model: "smollm2", input: "Say hello.", max_output_tokens: 12, temperature: 0 };
const ask = (more) => client.responses.create({ ...SHORT, ...more });
const text = async (more) => (await ask({ store: false, ...more })).output_text;
const read = async (more) => (await client.responses.inputTokens.count({ model: "smollm2", input: SHORT.input, ...more })).input_tokens;
const events = async (more) => all(await ask({ stream: true, ...more }));
const kinds = (list) => list.map((e) => e.type.replace(/^response\./, ""));
const OK = { type: "json_schema", name: "x", strict: true, schema: { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false } };
const LONG = { format: { type: "json_schema", name: "long", schema: LONG_SCHEMA } };
const tool = (name) => ({ type: "function", name, description: `Tells the ${name} of a city.`, strict: true,
	parameters: { type: "object", properties: { city: { type: "string", enum: ["Rome", "Oslo"] } }, required: ["city"], additionalProperties: false } });
const CALL = { input: "How is the weather in Rome?", tools: [tool("weather"), tool("population")], max_output_tokens: 60, parallel_tool_calls: false, tool_choice: "required" };
const warned = (r, word) => assert.ok((r.warnings ?? []).some((w) => w.includes(word)), `no warning names ${word}: ${JSON.stringify(r.warnings)}`);
const SEEDS = [1, 2, 3, 4];
const TALE = { input: STORY[0].content };

check("responses", "id, object, status", "are those of OpenAI, and the id another one every time", async () => {
	const a = await ask({ metadata: { ticket: "7" } }), b = await ask();
	assert.match(a.id, /^resp_/);
	assert.notEqual(a.id, b.id);
	assert.deepEqual([a.object, a.error, a.background, a.store], ["response", null, false, true]);
	assert.ok(["completed", "incomplete"].includes(a.status) && Math.abs(a.created_at - Date.now() / 1000) < 60);
	assert.equal(a.output[0].type, "message");
	assert.equal(a.output_text, a.output[0].content[0].text);
});
check("responses", "usage", "adds up", async () => {
	const u = (await ask({ max_output_tokens: 5, ...TALE })).usage;
	assert.equal(u.total_tokens, u.input_tokens + u.output_tokens);
	assert.equal(u.output_tokens, 5);
	assert.ok(u.input_tokens_details.cached_tokens >= 0 && u.output_tokens_details.reasoning_tokens === 0);
});
check("responses", "model", "that is not there is a NotFoundError", async () => assert.equal((await refused(() => ask({ model: "nope" }), 404)).code, "model_not_found"));
check("responses", "input", "a text, or messages in either form", async () => {
	const want = await text();
	for (const content of ["Say hello.", [{ type: "input_text", text: "Say " }, { type: "input_text", text: "hello." }]]) assert.equal(await text({ input: [{ role: "user", content }] }), want);
	assert.equal((await refused(() => ask({ input: [{ type: "nonsense" }] }), 400)).param, "input");
});
check("responses", "input", "longer than the context is told", async () => {
	const e = await refused(() => ask({ input: "word ".repeat(9000) }), 400, /8192/);
	assert.deepEqual([e.code, e.param], ["context_length_exceeded", "input"]);
});
check("responses", "input_image", "is looked at; an address is not", async () => {
	const look = (image_url) => client.responses.create({ model: "seer", max_output_tokens: 2, store: false, input: [{ role: "user", content: [{ type: "input_image", image_url }, { type: "input_text", text: "What is it?" }] }] });
	const r = await look(`data:image/png;base64,${png(9)}`), again = await look(`data:image/png;base64,${png(9)}`);
	assert.equal(again.usage.input_tokens_details.cached_tokens, r.usage.input_tokens - 1);
	await refused(() => look("https://example.org/a.png"), 400, /not fetched/);
	await refused(() => ask({ input: [{ role: "user", content: [{ type: "input_image", image_url: `data:image/png;base64,${png(9)}` }] }] }), 400, /vision/);
});
check("responses", "input_file", "is refused by name", () =>
	refusedOr(() => ask({ input: [{ role: "user", content: [{ type: "input_file", file_id: "file_1" }] }] }), /input_file/, "files are not kept by this API", (r) => assert.ok(r.id)));
check("responses", "instructions", "stand before the input, and are said again", async () => {
	const r = await ask({ instructions: "You are a pirate called Bob. Say your name." });
	assert.equal(r.instructions, "You are a pirate called Bob. Say your name.");
	assert.notEqual(r.output_text, await text());
	assert.ok((await read({ instructions: "Be kind. Be kind. Be kind." })) > (await read({ instructions: "Be kind." })));
});
check("responses", "max_output_tokens", "is a limit; the response is incomplete", async () => {
	const r = await ask({ ...TALE, max_output_tokens: 3 });
	assert.deepEqual([r.status, r.incomplete_details.reason, r.usage.output_tokens, r.max_output_tokens], ["incomplete", "max_output_tokens", 3, 3]);
	assert.equal((await refused(() => ask({ max_output_tokens: 0 }), 400)).param, "max_output_tokens");
});
check("responses", "temperature", "0 is always the same, 1.5 is not; it is said again", async () => {
	assert.equal((await texts(SEEDS, (seed) => text({ ...TALE, seed }))).size, 1);
	assert.ok((await texts(SEEDS, (seed) => text({ ...TALE, temperature: 1.5, seed }))).size > 2);
	assert.equal((await ask({ temperature: 0.5, max_output_tokens: 1 })).temperature, 0.5);
});
check("responses", "top_p", "of almost nothing leaves one token", async () => {
	assert.equal((await texts(SEEDS, (seed) => text({ ...TALE, temperature: 2, top_p: 0.0001, seed }))).size, 1);
	assert.equal((await ask({ top_p: 0.5, max_output_tokens: 1 })).top_p, 0.5);
});
check("responses", "metadata", "is kept and bounded", async () => {
	const r = await ask({ metadata: { ticket: "7" }, max_output_tokens: 1 });
	assert.deepEqual((await client.responses.retrieve(r.id)).metadata, { ticket: "7" });
	const many = Object.fromEntries([...Array(17)].map((_, i) => [`k${i}`, "v"]));
	assert.equal((await refused(() => ask({ metadata: many }), 400)).param, "metadata");
});
check("responses", "service_tier", "flex is said again", async () => {
	assert.equal((await ask({ service_tier: "flex", max_output_tokens: 1 })).service_tier, "flex");
	assert.equal((await refused(() => ask({ service_tier: "gold" }), 400)).param, "service_tier");
});

/* ---- streams ---- */

check("responses", "stream", "says the same, in the order of the reference", async () => {
	const whole = await ask({ store: false }), list = await events(), k = kinds(list), deltas = k.filter((x) => x === "output_text.delta").length;
	assert.deepEqual(list.map((e) => e.sequence_number), list.map((_, i) => i));
	assert.deepEqual(k, ["created", "in_progress", "output_item.added", "content_part.added", ...Array(deltas).fill("output_text.delta"), "output_text.done", "content_part.done", "output_item.done", whole.status]);
	assert.equal(list.filter((e) => e.type === "response.output_text.delta").map((e) => e.delta).join(""), whole.output_text);
	const last = list.at(-1).response;
	assert.equal(last.output[0].content[0].text, whole.output_text);
	assert.ok(list.filter((e) => e.response).every((e) => e.response.id === last.id));
	assert.equal((await client.responses.retrieve(last.id)).output_text, whole.output_text);
});
check("responses", "stream", "of a call has its arguments as delta and done", async () => {
	const list = await events(CALL), done = list.find((e) => e.type === "response.function_call_arguments.done");
	assert.equal(list.filter((e) => e.type === "response.function_call_arguments.delta").map((e) => e.delta).join(""), done.arguments);
	assert.ok(["Rome", "Oslo"].includes(JSON.parse(done.arguments).city));
	const k = kinds(list);
	assert.deepEqual(k.slice(-5), ["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done", "completed"]);
});
check("responses", "stream helper", "gathers the final response", async () => {
	const s = client.responses.stream({ ...SHORT, text: { format: OK }, max_output_tokens: 40 });
	let said = "";
	s.on("response.output_text.delta", (e) => (said += e.delta));
	const final = await s.finalResponse();
	assert.equal(final.output_text, said);
	assert.deepEqual(Object.keys(JSON.parse(said)), ["ok"]);
});
check("responses", "stream_options.include_obfuscation", "has no effect, which a warning says", async () => {
	warned((await events({ stream_options: { include_obfuscation: true } })).at(-1).response, "include_obfuscation");
	return differs("nothing is added to hide lengths; connections between machines are TLS");
});

/* ---- the form of the answer ---- */

check("responses", "text.format json_schema", "is kept to, and said again", async () => {
	const r = await ask({ text: { format: OK }, max_output_tokens: 40 });
	assert.deepEqual(Object.keys(JSON.parse(r.output_text)), ["ok"]);
	assert.deepEqual(r.text.format.schema, OK.schema);
	assert.equal((await refused(() => ask({ text: { format: { type: "xml" } } }), 400)).param, "text.format");
});
check("responses", "text.format json_object", "is an object", async () => assert.ok((await text({ input: "A cat with name and age.", text: { format: { type: "json_object" } }, max_output_tokens: 60 })).trim().startsWith("{")));
check("responses", "parse helper (zod)", "gives the parsed value", async () => {
	const r = await client.responses.parse({ ...SHORT, max_output_tokens: 40, text: { format: zodTextFormat(z.object({ ok: z.boolean() }), "x") } });
	assert.equal(typeof r.output_parsed.ok, "boolean");
});
check("responses", "text.verbosity", "has no effect, which a warning says", async () => {
	warned(await ask({ text: { verbosity: "low" }, max_output_tokens: 1 }), "text.verbosity");
	return differs("accepted without an effect; the answer's warnings name it");
});
check("responses", "include logprobs, top_logprobs", "give the probabilities", async () => {
	const r = await ask({ include: ["message.output_text.logprobs"], top_logprobs: 2 }), part = r.output[0].content[0];
	assert.equal(part.logprobs.map((t) => t.token).join(""), part.text);
	assert.ok(part.logprobs.every((t) => t.top_logprobs.length === 2));
	assert.deepEqual((await ask()).output[0].content[0].logprobs, []);
	assert.equal((await refused(() => ask({ include: ["nonsense"] }), 400)).param, "include");
});
check("responses", "reasoning.effort", "none does not think, high is told to the model", async () => {
	const think = (effort) => client.responses.create({ model: "thinker", input: "Say hello.", store: false, temperature: 0, max_output_tokens: 40, reasoning: { effort, max_tokens: 8 } });
	assert.deepEqual((await think("none")).output.map((i) => i.type), ["message"]);
	const high = await think("high");
	assert.deepEqual(high.output.map((i) => i.type), ["reasoning", "message"]);
	assert.equal(high.output[0].content[0].type, "reasoning_text");
	assert.ok(high.usage.output_tokens_details.reasoning_tokens >= 8 && high.usage.input_tokens > (await think("low")).usage.input_tokens);
	assert.equal(high.reasoning.effort, "high");
});
check("responses", "reasoning.summary", "gives the reasoning itself, which a warning says", async () => {
	warned(await ask({ reasoning: { summary: "auto" }, max_output_tokens: 1 }), "reasoning.summary");
	return differs("no summaries are made: the reasoning itself comes as reasoning_text");
});

/* ---- tools ---- */

check("responses", "tools, tool_choice required", "call a function by its schema", async () => {
	const r = await ask(CALL), [call] = r.output;
	assert.equal(call.type, "function_call");
	assert.match(call.id, /^fc_/);
	assert.ok(["Rome", "Oslo"].includes(JSON.parse(call.arguments).city));
	assert.deepEqual(r.tools.map((t) => t.name), ["weather", "population"]);
});
for (const name of ["weather", "population"])
	check("responses", "tool_choice function", `calls ${name} when that is named`, async () => assert.deepEqual((await ask({ ...CALL, tool_choice: { type: "function", name } })).output.map((i) => i.name), [name]));
check("responses", "parallel_tool_calls", "false is one call at most", async () => {
	const several = await ask({ ...CALL, parallel_tool_calls: true, max_output_tokens: 120 });
	assert.equal((await ask(CALL)).output.length, 1);
	assert.ok(several.output.length > 1 || several.status === "incomplete", "this model would call once anyway");
	assert.equal(several.parallel_tool_calls, true);
});
check("responses", "function_call_output", "goes back, with state and without", async () => {
	const one = await ask({ ...CALL, model: "thinker", reasoning: { effort: "none" } }), [call] = one.output;
	const result = { type: "function_call_output", call_id: call.call_id, output: "Sunny, 25 degrees." };
	const more = { ...CALL, model: "thinker", reasoning: { effort: "none" }, tool_choice: "none", store: false };
	const kept = await ask({ ...more, previous_response_id: one.id, input: [result] });
	const sent = await ask({ ...more, input: [{ role: "user", content: CALL.input }, ...one.output, result] });
	assert.equal(kept.usage.input_tokens, sent.usage.input_tokens);
	assert.equal(kept.output_text, sent.output_text);
	const twice = await ask({ ...more, previous_response_id: one.id, input: [{ ...result, output: "Sunny, 25 degrees. Sunny." }] });
	assert.ok(twice.usage.input_tokens > kept.usage.input_tokens);
});
for (const type of ["web_search", "file_search", "code_interpreter", "computer_use_preview", "mcp", "image_generation", "local_shell", "custom"])
	check("responses", `tools ${type}`, "is refused by name", () =>
		refusedOr(() => ask({ tools: [{ type, name: "x" }] }), new RegExp(`function are supported, not ${type}`), "tools are run by whoever asks, as functions", (r) => assert.ok(r.id)));
check("responses", "max_tool_calls", "has no effect, which a warning says", async () => {
	warned(await ask({ max_tool_calls: 2, max_output_tokens: 1 }), "max_tool_calls");
	return differs("it counts calls of built-in tools, of which there are none");
});

/* ---- what is kept ---- */

check("responses", "previous_response_id", "goes on from what was said, without its instructions", async () => {
	const one = await ask({ input: "My name is Ada.", instructions: "Be kind.", max_output_tokens: 8 });
	const two = await ask({ input: "Who am I?", previous_response_id: one.id });
	const hand = await ask({ store: false, input: [{ role: "user", content: "My name is Ada." }, { role: "assistant", content: one.output_text }, { role: "user", content: "Who am I?" }] });
	assert.equal(two.usage.input_tokens, hand.usage.input_tokens);
	assert.equal(two.output_text, hand.output_text);
	assert.equal(two.previous_response_id, one.id);
	assert.equal(two.instructions, null);
	const e = await refused(() => ask({ previous_response_id: "resp_nonsense" }), 400);
	assert.deepEqual([e.code, e.param], ["previous_response_not_found", "previous_response_id"]);
});
check("responses", "store", "false is not kept, true is", async () => {
	const kept = await ask({ store: true, max_output_tokens: 2 }), gone = await ask({ store: false, max_output_tokens: 2 });
	assert.equal((await client.responses.retrieve(kept.id)).output_text, kept.output_text);
	assert.ok((await refused(() => client.responses.retrieve(gone.id), 404)) instanceof OpenAI.NotFoundError);
});
check("responses", "retrieve as a stream", "is refused by name", async () => {
	const r = await ask({ max_output_tokens: 1 });
	return refusedOr(() => client.responses.retrieve(r.id, { stream: true }), /not told as a stream/, "retrieve it until it is complete", async (s) => assert.ok((await all(s)).length > 1));
});
check("responses", "delete", "takes it away, and what went on from it cannot go on", async () => {
	const one = await ask({ max_output_tokens: 1 }), two = await ask({ previous_response_id: one.id, max_output_tokens: 1 });
	await client.responses.delete(one.id);
	await refused(() => client.responses.retrieve(one.id), 404);
	await refused(() => ask({ previous_response_id: two.id }), 400, /deleted/);
});
check("responses", "input_items", "lists its own items, by pages and in both orders", async () => {
	const input = [..."01234"].map((content) => ({ role: "user", content })), r = await ask({ input, max_output_tokens: 1 });
	const told = async (more) => (await all(client.responses.inputItems.list(r.id, more))).map((i) => i.content[0].text).join("");
	assert.equal(await told({}), "43210");
	assert.equal(await told({ order: "asc", limit: 2 }), "01234");
	assert.equal((await client.responses.inputItems.list(r.id, { limit: 2 })).data.length, 2);
	assert.equal((await refused(() => client.responses.inputItems.list(r.id, { order: "random" }), 400)).param, "order");
});
check("responses", "input_tokens", "counts what the request reads", async () => {
	const n = await read({ instructions: "Be brief." });
	assert.equal((await ask({ instructions: "Be brief.", max_output_tokens: 1 })).usage.input_tokens, n);
});
check("responses", "background", "is there at once and ends by itself", async () => {
	const r = await ask({ background: true });
	assert.deepEqual([r.status, r.background, r.output], ["in_progress", true, []]);
	const done = await until(async () => {
		const now = await client.responses.retrieve(r.id);
		return now.status !== "in_progress" && now;
	}, "the response ends", 20);
	assert.equal(done.output_text, await text());
	assert.equal((await refused(() => ask({ background: true, store: false }), 400)).param, "background");
});
check("responses", "cancel", "ends one that runs in the background", async () => {
	const r = await ask({ background: true, text: LONG, max_output_tokens: 2000 });
	await until(async () => (await active()) > 0, "it runs");
	assert.equal((await client.responses.cancel(r.id)).status, "cancelled");
	await until(async () => (await active()) === 0, "it ends");
	assert.equal((await client.responses.retrieve(r.id)).status, "cancelled");
	const whole = await ask({ max_output_tokens: 1 });
	await refused(() => client.responses.cancel(whole.id), 400, /synchronous/);
});
check("responses", "abort of a stream", "ends it on the server", async () => {
	const leave = new AbortController();
	await stops(async () => {
		await all(await client.responses.create({ ...SHORT, text: LONG, max_output_tokens: 2000, stream: true, store: false }, { signal: leave.signal }));
		leave.signal.throwIfAborted();
	}, () => leave.abort());
});
check("responses", "truncation", "auto leaves the oldest out, disabled refuses", async () => {
	const input = [{ role: "user", content: "word ".repeat(9000) }, { role: "assistant", content: "Yes." }, { role: "user", content: "Say hello." }];
	assert.ok((await ask({ input, truncation: "auto", max_output_tokens: 1 })).usage.input_tokens < 8192);
	await refused(() => ask({ input, truncation: "disabled" }), 400);
	assert.equal((await refused(() => ask({ truncation: "x" }), 400)).param, "truncation");
});
for (const [field, value, why] of [["conversation", "conv_1", "a conversation goes on by previous_response_id"], ["prompt", { id: "pmpt_1" }, "there are no stored prompts: send instructions and input"],
	["context_management", [{ type: "compaction" }], "use truncation"]])
	check("responses", field, "is refused by name", async () => {
		assert.equal((await refused(() => ask({ [field]: value }), 400)).param, field);
		return unsupported(why);
	});
for (const [field, value] of [["user", "u-1"], ["safety_identifier", "s"], ["prompt_cache_key", "k"]])
	check("responses", field, "is said again and has no effect, which a warning says", async () => {
		const r = await ask({ [field]: value, max_output_tokens: 1 });
		assert.equal(r[field], value);
		warned(r, `"${field}"`);
		return differs("said again, without an effect; the answer's warnings name it");
	});
check("responses", "compact", "is not there", async () => {
	await assert.rejects(() => client.responses.compact({ model: "smollm2", input: "x" }), (e) => e.status === 404 || e.status === 405);
	return unsupported("use truncation, or start anew with a summary");
});
check("responses", "somebody else's", "is not found with a key that may not", async () => {
	const r = await ask({ max_output_tokens: 1 });
	await assert.rejects(() => connect(process.env.CONFORM_KEY_READ).responses.retrieve(r.id), (e) => e.status === 403);
});

/* Ollama's client: chat, generate, their options, embeddings. */
import { Ollama } from "ollama";
import { HI, KEY, KEY_READ, LONG_SCHEMA, URL, all, assert, checks, differs, length, near, png, refused, refusedOr, stops, texts, tokens, unsupported, until } from "./lib.mjs";

const check = checks("ollama-js");
export const connect = (key = KEY, more = {}) => new Ollama({ host: URL, headers: { Authorization: `Bearer ${key}` }, ...more });
const client = connect();
const COLD = { temperature: 0, num_predict: 12 };
const STORY = [{ role: "user", content: "Tell me a story about a fox." }];
const chat = ({ options, ...more } = {}) => client.chat({ model: "smollm2", messages: HI, options: { ...COLD, ...options }, ...more });
const generate = ({ options, ...more } = {}) => client.generate({ model: "smollm2", prompt: "Say hello.", options: { ...COLD, ...options }, ...more });
const text = async (more) => (await chat(more)).message.content;
const tale = async (options) => text({ messages: STORY, options });
const SEEDS = [1, 2, 3, 4];
const warned = (r, word) => assert.ok((r.warnings ?? []).some((w) => w.includes(word)), `no warning names ${word}: ${JSON.stringify(r.warnings)}`);
const ANSWER = { type: "object", properties: { ok: { type: "boolean" } }, required: ["ok"], additionalProperties: false };
const WEATHER = { type: "function", function: { name: "weather", description: "Tells the weather of a city.", parameters: { type: "object", required: ["city"], properties: { city: { type: "string", enum: ["Rome", "Oslo", "Bern"] } } } } };
const called = (city, result, at) => [{ role: "user", content: `How is the weather in ${city}?` },
	{ role: "assistant", content: "", tool_calls: [{ id: `call_${at}`, function: { index: 0, name: "weather", arguments: { city } } }] }, { role: "tool", tool_name: "weather", tool_call_id: `call_${at}`, content: result },
	{ role: "assistant", content: result }];
const TALK = [...called("Oslo", "Snow.", 1), ...called("Bern", "Fog.", 2), ...called("Oslo", "Rain.", 3), { role: "user", content: "How is the weather in Rome?" }];
const RESULTS = { model: "thinker", think: false, tools: [WEATHER], messages: TALK, options: { num_predict: 1 } };
/* Here calls alone were the answers, so that even a small model makes the next one. */
const CALL = { ...RESULTS, messages: TALK.filter((m) => m.role === "user" || m.tool_calls), options: { num_predict: 60, repeat_penalty: 1 } };

/* ---- chat: what comes back ---- */

check("/api/chat", "model, created_at, done", "are in every line, done in the last", async () => {
	const lines = await all(await chat({ stream: true }));
	assert.ok(lines.length > 3 && lines.every((l) => l.model === "smollm2" && Math.abs(Date.parse(l.created_at) - Date.now()) < 60_000));
	assert.deepEqual(lines.map((l) => l.done), [...Array(lines.length - 1).fill(false), true]);
});
check("/api/chat", "stream", "says what the whole answer says", async () => {
	const whole = await chat(), lines = await all(await chat({ stream: true }));
	assert.equal(whole.message.role, "assistant");
	assert.equal(lines.map((l) => l.message.content).join(""), whole.message.content);
	assert.equal(lines.at(-1).done_reason, whole.done_reason);
});
check("/api/chat", "metrics", "are whole nanoseconds and counts", async () => {
	for (const r of [await chat(), (await all(await chat({ stream: true }))).at(-1), await generate()]) {
		for (const field of ["total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration"]) assert.ok(Number.isInteger(r[field]) && r[field] >= 0, field);
		assert.ok(r.total_duration >= r.eval_duration && r.eval_count > 0);
	}
});
check("/api/chat", "prompt_eval_count", "counts the messages", async () => {
	const a = (await chat()).prompt_eval_count, b = (await chat({ messages: [{ role: "user", content: "Say hello. Say hello." }] })).prompt_eval_count;
	assert.equal(b - a, (await tokens(" Say hello.")).length);
});
check("/api/chat", "model", "that is not there: 404 with Ollama's words", () => refused(() => chat({ model: "nope" }), 404, /^model 'nope' not found$/));
check("/api/chat", "model", "is found with and without :latest", async () => assert.equal(await text({ model: "smollm2:latest" }), await text()));
check("/api/chat", "model", "for vectors does not chat, with Ollama's words", () => refused(() => chat({ model: "minilm" }), 400, /^"minilm" does not support chat$/));
check("/api/chat", "messages", "empty: the model is loaded", async () => {
	const r = await client.chat({ model: "smollm2", messages: [] });
	assert.deepEqual([r.done, r.done_reason, r.message.content], [true, "load", ""]);
});
check("/api/chat", "messages.role system", "is obeyed instead of the model's own text", async () => assert.notEqual(await text({ messages: [{ role: "system", content: "You are a pirate called Bob. Say your name." }, ...HI] }), await text()));
check("/api/chat", "messages.role", "that is none is refused with Ollama's words", () => refused(() => chat({ messages: [{ role: "king", content: "x" }] }), 400, /^invalid role: king, must be one of \[system, user, assistant, tool\]$/));
check("/api/chat", "messages.images", "are looked at: another picture, another reading", async () => {
	const look = (...shades) => client.chat({ model: "seer", messages: [{ role: "user", content: "What is it?", ...(shades.length ? { images: shades.map((s) => png(s)) } : {}) }], options: { ...COLD, num_predict: 2 } });
	const one = await look(41), same = await look(41), other = await look(43), two = await look(41, 43), none = await look();
	assert.equal(one.prompt_eval_count, none.prompt_eval_count + 4);
	assert.equal(two.prompt_eval_count, none.prompt_eval_count + 8);
	assert.equal(same.cached_tokens, same.prompt_eval_count - 1);
	assert.ok(other.cached_tokens < other.prompt_eval_count - 4);
});
check("/api/chat", "messages.images", "as bytes and as data: are the same picture", async () => {
	const look = (picture) => client.chat({ model: "seer", messages: [{ role: "user", content: "What is it?", images: [picture] }], options: { ...COLD, num_predict: 2 } });
	await look(png(47));
	for (const picture of [new Uint8Array(Buffer.from(png(47), "base64")), `data:image/png;base64,${png(47)}`]) {
		const r = await look(picture);
		assert.equal(r.cached_tokens, r.prompt_eval_count - 1);
	}
});
check("/api/chat", "messages.images", "are refused by a model that does not see, and when they are none", async () => {
	await refused(() => chat({ messages: [{ role: "user", content: "x", images: [png(1)] }] }), 400, /^"smollm2" does not support vision$/);
	await refused(() => chat({ model: "seer", messages: [{ role: "user", content: "x", images: ["AAAA"] }] }), 400, /not a picture/);
});

/* ---- tools ---- */

check("/api/chat", "tools", "stand in the prompt", async () => assert.ok((await chat({ tools: [WEATHER] })).prompt_eval_count > (await chat()).prompt_eval_count + 20));
check("/api/chat", "message.tool_calls", "are whole, their arguments an object", async () => {
	const r = await chat(CALL), [call] = r.message.tool_calls ?? assert.fail(`it says ${JSON.stringify(r.message)}`);
	assert.deepEqual(call.function, { index: 0, name: "weather", arguments: { city: "Rome" } });
	assert.match(call.id, /^call_/);
	assert.equal(r.done_reason, "stop");
});
check("/api/chat", "message.tool_calls", "come in a line of their own in a stream", async () => {
	const lines = await all(await chat({ ...CALL, stream: true })), [line] = lines.filter((l) => l.message.tool_calls);
	assert.deepEqual([line.done, line.message.content, line.message.tool_calls[0].function.arguments.city], [false, "", "Rome"]);
});
check("/api/chat", "messages.tool_calls", "go back into the prompt", async () => {
	const longer = structuredClone(TALK);
	longer[1].tool_calls[0].function.arguments.country = "Norway";
	assert.ok((await chat({ ...RESULTS, messages: longer })).prompt_eval_count > (await chat(RESULTS)).prompt_eval_count);
});
check("/api/chat", "messages.role tool", "goes back into the prompt", async () => {
	const longer = structuredClone(TALK);
	longer[2].content = "Snow. Snow.";
	assert.equal((await chat({ ...RESULTS, messages: longer })).prompt_eval_count - (await chat(RESULTS)).prompt_eval_count, (await tokens(" Snow.")).length);
});

/* ---- think ---- */

const THINK = { model: "thinker", options: { num_predict: 40, think_budget: 8 } };
check("/api/chat", "think", "true gives the thinking apart, false none, and it is on by default", async () => {
	const on = (await chat({ ...THINK, think: true })).message, off = (await chat({ ...THINK, think: false })).message;
	assert.ok(on.thinking && on.content && !on.content.includes("</think>"));
	assert.equal(off.thinking, undefined);
	assert.equal((await chat(THINK)).message.thinking, on.thinking);
});
check("/api/chat", "think", "a level is told to the model, another word is refused", async () => {
	const counts = [];
	for (const think of ["low", "medium", "high"]) counts.push((await chat({ ...THINK, think })).prompt_eval_count);
	assert.equal(new Set(counts).size, 3);
	await refused(() => chat({ ...THINK, think: "enormous" }), 400, /invalid think value/);
});
check("/api/chat", "think", "streams in lines of its own", async () => {
	const lines = await all(await chat({ ...THINK, think: true, stream: true })), whole = (await chat({ ...THINK, think: true })).message;
	assert.equal(lines.map((l) => l.message.thinking ?? "").join(""), whole.thinking);
	assert.ok(lines.every((l) => !(l.message.thinking && l.message.content)));
});
check("/api/chat", "think", "of a model that does not: refused with Ollama's words", () => refused(() => chat({ think: true }), 400, /^"smollm2" does not support thinking$/));
check("/api/chat", "messages.thinking", "goes back into the prompt", async () => {
	const talk = (thinking) => ({ ...THINK, think: false, messages: [...HI, { role: "assistant", content: "Hello.", thinking }, ...HI] });
	assert.ok((await chat(talk("They greet. They greet."))).prompt_eval_count > (await chat(talk("They greet."))).prompt_eval_count);
});
check("/api/generate", "think", "true gives the thinking apart, false none", async () => {
	const ask = (think) => client.generate({ model: "thinker", prompt: "Say hello.", think, options: { ...COLD, num_predict: 40, think_budget: 8 } });
	const on = await ask(true), off = await ask(false);
	assert.ok(on.thinking && on.response);
	assert.equal(off.thinking, undefined);
});

/* ---- format, logprobs, keep_alive ---- */

for (const [feature, ask] of [["/api/chat", async (more) => (await chat(more)).message.content], ["/api/generate", async (more) => (await generate(more)).response]]) {
	check(feature, "format json", "is an object", async () => assert.ok((await ask({ format: "json", options: { num_predict: 30 } })).trim().startsWith("{")));
	check(feature, "format (schema)", "is kept to", async () => assert.deepEqual(Object.keys(JSON.parse(await ask({ format: ANSWER, options: { num_predict: 40 } }))), ["ok"]));
	check(feature, "format", "that is none is refused", () => refused(() => ask({ format: "xml" }), 400, /invalid format/));
}
check("/api/chat", "logprobs, top_logprobs", "belong to the tokens of the text", async () => {
	const r = await chat({ logprobs: true, top_logprobs: 3 });
	assert.equal(r.logprobs.map((t) => t.token).join(""), r.message.content);
	assert.ok(r.logprobs.every((t) => t.logprob <= 0 && t.top_logprobs.length === 3));
	assert.equal((await chat()).logprobs, undefined);
	await refused(() => chat({ logprobs: true, top_logprobs: 21 }), 400, /^top_logprobs must be between 0 and 20$/);
});
check("/api/chat", "logprobs", "come with the lines of a stream", async () => {
	const lines = await all(await chat({ logprobs: true, stream: true }));
	assert.equal(lines.flatMap((l) => l.logprobs ?? []).map((t) => t.token).join(""), lines.map((l) => l.message.content).join(""));
});
check("/api/generate", "logprobs, top_logprobs", "belong to the tokens of the text", async () => {
	const r = await generate({ logprobs: true, top_logprobs: 2 });
	assert.equal(r.logprobs.map((t) => t.token).join(""), r.response);
	assert.ok(r.logprobs.every((t) => t.top_logprobs.length === 2));
});
const expires = async (model) => Date.parse((await client.ps()).models.find((m) => m.name === `${model}:latest`)?.expires_at);
for (const [keep_alive, from, to] of [["10m", 590, 610], [90, 80, 100], ["1h30m", 5390, 5410], [-1, 1e8, Infinity], ["300", 290, 310]])
	check("/api/chat", "keep_alive", `${JSON.stringify(keep_alive)} is how long the model stays`, async () => {
		await chat({ keep_alive, options: { num_predict: 1 } });
		await until(async () => {
			const s = ((await expires("smollm2")) - Date.now()) / 1000;
			return s > from && s < to;
		}, `it expires between ${from} and ${to} s from now`);
	});
check("/api/chat", "keep_alive", "that is none is refused", () => refused(() => chat({ keep_alive: "soon" }), 400, /keep_alive/));
check("/api/generate", "keep_alive 0", "without a prompt unloads the model", async () => {
	assert.equal((await client.generate({ model: "fim", prompt: "" })).done_reason, "load");
	assert.ok(await expires("fim"));
	assert.equal((await client.generate({ model: "fim", prompt: "", keep_alive: 0 })).done_reason, "unload");
	await until(async () => Number.isNaN(await expires("fim")), "it is unloaded");
});

/* ---- generate ---- */

check("/api/generate", "prompt, response", "are those of a chat with one message", async () => {
	const r = await generate();
	assert.equal(r.response, await text());
	assert.equal((await all(await generate({ stream: true }))).map((l) => l.response).join(""), r.response);
});
check("/api/generate", "system", "is obeyed", async () => assert.equal((await generate({ system: "You are a pirate called Bob. Say your name." })).response,
	await text({ messages: [{ role: "system", content: "You are a pirate called Bob. Say your name." }, ...HI] })));
check("/api/generate", "raw", "leaves the template out", async () => {
	const r = await generate({ raw: true, prompt: "One, two, three," });
	assert.equal(r.prompt_eval_count, (await tokens("One, two, three,")).length);
	await refused(() => generate({ raw: true, system: "x" }), 400, /^raw mode does not support template, system, or context$/);
});
check("/api/generate", "suffix", "gives what stands between, in the model's own form", async () => {
	const ask = (suffix) => client.generate({ model: "fim", prompt: "def add(a, b):\n    return ", suffix, options: { ...COLD, num_predict: 8 } });
	const r = await ask("\n\nprint(add(1, 2))\n"), hand = await client.generate({ model: "fim", raw: true, options: { ...COLD, num_predict: 8 },
		prompt: "<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>\n\nprint(add(1, 2))\n<|fim_middle|>" });
	assert.deepEqual([r.response, r.prompt_eval_count], [hand.response, hand.prompt_eval_count]);
	await refused(() => generate({ suffix: "b" }), 400, /^"smollm2" does not support insert$/);
});
check("/api/generate", "template", "of a request is refused by name", () =>
	refusedOr(() => generate({ template: "{{ .Prompt }}" }), /template/, "the model's own template is used; /api/create makes a model with another", async (r) => assert.notEqual(r.prompt_eval_count, (await generate()).prompt_eval_count)));
check("/api/generate", "context", "is ignored, which a warning says", async () => {
	warned(await generate({ context: [1, 2, 3] }), "context");
	return differs("deprecated there; a talk goes on by /api/chat with its messages");
});
check("/api/generate", "images", "are looked at", async () => {
	const look = (more) => client.generate({ model: "seer", prompt: "What is it?", options: { ...COLD, num_predict: 2 }, ...more });
	assert.equal((await look({ images: [png(51)] })).prompt_eval_count, (await look()).prompt_eval_count + 4);
	await refused(() => generate({ images: [png(1)] }), 400, /does not support vision/);
});
for (const field of ["width", "height", "steps"])
	check("/api/generate", field, "is for models that paint, of which there are none", async () => {
		const r = await generate({ [field]: 8 });
		assert.ok(r.response);
		return differs("ignored, as Ollama ignores it for models that do not paint: none here does");
	});

/* ---- options ---- */

check("options", "num_predict", "is a limit", async () => {
	const r = await chat({ messages: STORY, options: { num_predict: 3 } });
	assert.deepEqual([r.eval_count, r.done_reason], [3, "length"]);
});
check("options", "temperature", "0 is always the same, 1.5 is not", async () => {
	assert.equal((await texts(SEEDS, (seed) => tale({ seed }))).size, 1);
	assert.ok((await texts(SEEDS, (seed) => tale({ seed, temperature: 1.5 }))).size > 2);
});
check("options", "seed", "repeats an answer, another gives another", async () => {
	const ask = (seed) => tale({ seed, temperature: 1.2 });
	assert.equal((await texts([7, 7, 7], ask)).size, 1);
	assert.ok((await texts(SEEDS, ask)).size > 2);
});
for (const [field, value] of [["top_k", 1], ["top_p", 0.0001], ["min_p", 1], ["typical_p", 0.0001]])
	check("options", field, `${value} leaves one token, however hot`, async () => assert.equal((await texts(SEEDS, (seed) => tale({ seed, temperature: 2, [field]: value }))).size, 1));
check("options", "stop", "ends the text before the word", async () => {
	const long = await tale({ num_predict: 24 }), word = long.split(" ")[4];
	for (const stop of [[word], ["never said", word]]) {
		const r = await chat({ messages: STORY, options: { num_predict: 24, stop } });
		assert.deepEqual([r.message.content, r.done_reason], [long.slice(0, long.indexOf(word)), "stop"]);
	}
});
const AGAIN = { prompt: "one two one two one two one two one two", raw: true };
const again = async (options) => (await generate({ ...AGAIN, options: { repeat_penalty: 1, num_predict: 16, ...options } })).response;
for (const [field, value] of [["repeat_penalty", 1.8], ["presence_penalty", 2], ["frequency_penalty", 2]])
	check("options", field, "turns the text away from what was said", async () => assert.notEqual(await again({ [field]: value }), await again()));
check("options", "repeat_last_n", "0 forgets what was said, and with it every penalty", async () => {
	assert.equal(await again({ repeat_penalty: 1.8, repeat_last_n: 0 }), await again());
	assert.notEqual(await again({ repeat_penalty: 1.8, repeat_last_n: -1 }), await again());
});
check("options", "num_ctx", "bounds the prompt", async () => {
	const messages = [{ role: "user", content: "word ".repeat(800) }];
	assert.ok((await chat({ messages })).prompt_eval_count > 800);
	const e = await refused(() => chat({ messages, options: { num_ctx: 512 } }), 400);
	assert.match(e.error, /8\d\d.* 512/);
});
check("options", "mirostat, mirostat_tau, mirostat_eta", "sample in their way", async () => {
	const ask = (more) => tale({ seed: 3, temperature: 1, num_predict: 24, ...more });
	const plain = await ask(), one = await ask({ mirostat: 1 }), two = await ask({ mirostat: 2 });
	assert.equal(new Set([plain, one, two]).size, 3);
	assert.notEqual(await ask({ mirostat: 2, mirostat_tau: 0.1 }), two);
	assert.notEqual(await ask({ mirostat: 2, mirostat_tau: 3, mirostat_eta: 1 }), await ask({ mirostat: 2, mirostat_tau: 3, mirostat_eta: 0.001 }));
	return differs("newer Ollamas ignore them; here they work");
});
const LOADED = ["num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "use_mlock"], GONE = ["tfs_z", "penalize_newline", "numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "embedding_only"];
for (const field of LOADED)
	check("options", field, "is ignored, which a warning says", async () => {
		const r = await chat({ options: { [field]: field.startsWith("use") ? true : 1, num_predict: 1 } });
		warned(r, field);
		assert.ok(r.load_duration < 1e9);
		return differs("chosen when the model is loaded, by what was measured; no request loads it anew");
	});
for (const field of GONE)
	check("options", field, "is ignored, which a warning says", async () => {
		warned(await chat({ options: { [field]: field === "tfs_z" ? 1 : true, num_predict: 1 } }), field);
		return differs("gone from Ollama, too; accepted, and the answer's warnings name it");
	});
check("options", "num_keep", "is ignored, which a warning says", async () => {
	warned(await chat({ options: { num_keep: 4, num_predict: 1 } }), "num_keep");
	return differs("a prompt that is too long is an error, or with truncate loses whole messages; nothing is cut silently");
});
check("options", "an option that nobody knows", "is named in a warning", async () => warned(await chat({ options: { zzz: 1, num_predict: 1 } }), "zzz"));
check("options", "values", "that cannot be are refused by name", async () => {
	for (const options of [{ temperature: -1 }, { top_p: 2 }, { num_predict: "many" }, { top_k: 1.5 }]) await refused(() => chat({ options }), 400, new RegExp(Object.keys(options)[0]));
});
check("/api/chat", "truncate", "leaves the oldest messages out when it is asked for, and says so", async () => {
	const messages = [...Array(4)].flatMap(() => [{ role: "user", content: "word ".repeat(200) }, { role: "assistant", content: "ok" }]).concat(HI);
	await refused(() => chat({ messages, options: { num_ctx: 512 } }), 400);
	const r = await chat({ messages, truncate: true, options: { num_ctx: 512 } });
	assert.ok(r.prompt_eval_count < 512);
	warned(r, "left out");
	return differs("Ollama truncates silently unless truncate is false; here only when it is true, with a warning");
});
check("/api/chat", "shift", "has no effect, which a warning says", async () => {
	warned(await chat({ shift: true, options: { num_predict: 1 } }), "shift");
	return differs("an answer ends where the context is full; earlier text is never dropped under way");
});

/* ---- vectors ---- */

const embed = (input, more) => client.embed({ model: "minilm", input, ...more });
const CATS = ["A cat sits on the mat.", "A kitten lies on the rug.", "The share price fell."];
check("/api/embed", "input", "a text, or a list in its order", async () => {
	const r = await embed(CATS), one = await embed(CATS[1]), dot = (a, b) => a.reduce((s, x, i) => s + x * b[i], 0), [a, b, c] = r.embeddings;
	near(one.embeddings[0], b, 1e-3);
	assert.ok(dot(a, b) > dot(a, c) + 0.2);
	for (const v of r.embeddings) assert.ok(Math.abs(length(v) - 1) < 1e-5);
	assert.deepEqual((await embed([])).embeddings, []);
	assert.equal(r.model, "minilm");
});
check("/api/embed", "total_duration, load_duration, prompt_eval_count", "are there", async () => {
	const one = await embed(CATS[0]), two = await embed([CATS[0], CATS[0]]);
	assert.equal(two.prompt_eval_count, 2 * one.prompt_eval_count);
	assert.ok(one.total_duration > 0 && one.load_duration >= 0);
});
check("/api/embed", "dimensions", "cuts the vector and brings it to length 1 again", async () => {
	const head = (await embed(CATS[0])).embeddings[0].slice(0, 64), n = length(head);
	near((await embed(CATS[0], { dimensions: 64 })).embeddings[0], head.map((x) => x / n), 1e-3);
});
check("/api/embed", "truncate", "cuts what is too long, false refuses it", async () => {
	const long = "money ".repeat(900), r = await embed(long);
	assert.ok(r.prompt_eval_count <= 512);
	warned(r, "cut");
	await refused(() => embed(long, { truncate: false }), 400);
});
check("/api/embed", "keep_alive", "is how long the model stays", async () => {
	await embed("a", { keep_alive: "20m" });
	await until(async () => (await expires("minilm")) - Date.now() > 1_190_000, "it expires in 20 minutes");
});
check("/api/embed", "options", "have no effect, which a warning says", async () => {
	warned(await embed("a", { options: { temperature: 1 } }), "options");
	return differs("no option changes a vector");
});
check("/api/embed", "model", "that is not there: 404 with Ollama's words", () => refused(() => embed("a", { model: "nope" }), 404, /^model "nope" not found, try pulling it first$|^model 'nope' not found$/));
check("/api/embeddings", "prompt", "is the older form: one vector, not brought to length 1", async () => {
	const old = (await client.embeddings({ model: "minilm", prompt: CATS[0] })).embedding, n = length(old);
	near(old.map((x) => x / n), (await embed(CATS[0])).embeddings[0], 1e-3);
});

/* ---- leaving and errors ---- */

const LONG = { model: "smollm2", messages: STORY, format: LONG_SCHEMA, options: { ...COLD, num_predict: 3000 } };
check("cancel", "abort() of a stream", "ends it on the server", async () => {
	const s = await client.chat({ ...LONG, stream: true });
	await stops(() => all(s), () => s.abort());
});
check("cancel", "abort() of all streams", "ends each", async () => {
	const mine = connect(), s = await mine.chat({ ...LONG, stream: true }), t = await mine.generate({ model: "smollm2", prompt: "x", format: LONG.format, options: LONG.options, stream: true });
	await stops(() => Promise.all([all(s), all(t).catch(() => {})]), () => mine.abort());
});
check("cancel", "a fetch that is aborted", "ends a whole answer on the server", async () => {
	const leave = new AbortController(), mine = connect(KEY, { fetch: (url, init) => fetch(url, { ...init, signal: leave.signal }) });
	await stops(() => mine.chat(LONG), () => leave.abort());
});
check("errors", "ResponseError", "401 for a key that is none, 403 for one without the scope", async () => {
	assert.equal((await refused(() => connect("nonsense").list(), 401)).name, "ResponseError");
	await refused(() => connect(KEY_READ).chat({ model: "smollm2", messages: HI }), 403, /scope/);
});
check("errors", "ResponseError", "of a body that is none has Ollama's words", async () => {
	await refused(() => client.chat({ messages: HI }), 400, /^model is required$/);
	const r = await fetch(`${URL}/api/chat`, { method: "POST", headers: { authorization: `Bearer ${KEY}` } });
	assert.deepEqual([r.status, await r.json()], [400, { error: "missing request body" }]);
});

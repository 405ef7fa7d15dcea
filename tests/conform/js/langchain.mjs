/* LangChain's ChatOllama, OllamaEmbeddings, ChatOpenAI and OpenAIEmbeddings. */
import { AIMessage, HumanMessage, SystemMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOllama, OllamaEmbeddings } from "@langchain/ollama";
import { ChatOpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { z } from "zod";
import { HI, KEY, LONG_SCHEMA, URL, all, assert, checks, near, png, refused, stops, texts } from "./lib.mjs";

const headers = { Authorization: `Bearer ${KEY}` };
const weather = tool(({ city }) => `Sunny in ${city}.`, { name: "weather", description: "Tells the weather of a city.", schema: z.object({ city: z.enum(["Rome", "Oslo"]) }) });
const FORMS = {
	"langchain-ollama-js": (more) => new ChatOllama({ baseUrl: URL, headers, model: "smollm2", temperature: 0, numPredict: 12, maxRetries: 0, ...more }),
	"langchain-openai-js": ({ numPredict, topP, seed, ...more } = {}) =>
		new ChatOpenAI({ configuration: { baseURL: `${URL}/v1` }, apiKey: KEY, model: "smollm2", temperature: 0, maxTokens: numPredict ?? 12, topP, maxRetries: 0, modelKwargs: seed === undefined ? {} : { seed }, ...more }),
};
const STORY = "Tell me a story about a fox.";

for (const [client, make] of Object.entries(FORMS)) {
	const check = checks(client);
	const read = (m) => m.usage_metadata.input_tokens;
	check("chat", "invoke", "answers, and counts its tokens", async () => {
		const r = await make().invoke("Say hello.");
		assert.ok(r.content && read(r) > 5 && r.usage_metadata.output_tokens <= 12);
	});
	check("chat", "messages", "system, human, ai and tool are read", async () => {
		const base = read(await make().invoke([new HumanMessage("Hi")]));
		assert.ok(read(await make().invoke([new SystemMessage("You are a pirate. ".repeat(8)), new HumanMessage("Hi")])) > base + 20);
		const talk = [new HumanMessage("How is the weather in Rome?"), new AIMessage({ content: "", tool_calls: [{ name: "weather", args: { city: "Rome" }, id: "call_1", type: "tool_call" }] }),
			new ToolMessage({ content: "Sunny and warm.", tool_call_id: "call_1", name: "weather" })];
		assert.ok(read(await make().invoke(talk)) > read(await make().invoke(talk.slice(0, 1))) + 10);
	});
	check("chat", "stream", "gives chunks whose texts are the whole answer", async () => {
		const chunks = await all(await make().stream("Say hello."));
		assert.ok(chunks.length > 3);
		assert.equal(chunks.map((c) => c.content).join(""), (await make().invoke("Say hello.")).content);
	});
	check("chat", "batch", "answers several at once, in their order", async () => {
		const [a, b, c] = await make().batch(["Say hello.", STORY, "Say hello."]);
		assert.equal(read(a), read(c));
		assert.notEqual(a.content, b.content);
	});
	check("chat", "temperature, seed", "are passed on", async () => {
		const ask = (temperature) => async (seed) => (await make({ temperature, seed }).invoke(STORY)).content;
		assert.equal((await texts([1, 2, 3], ask(0))).size, 1);
		assert.equal((await texts([5, 5], ask(1.5))).size, 1);
		assert.ok((await texts([1, 2, 3], ask(1.5))).size > 1);
	});
	check("chat", "the number of tokens", "is a limit", async () => assert.equal((await make({ numPredict: 3 }).invoke(STORY)).usage_metadata.output_tokens, 3));
	check("chat", "topP", "of almost nothing leaves one token", async () => assert.equal((await texts([1, 2, 3], async (seed) => (await make({ temperature: 2, topP: 0.0001, seed }).invoke(STORY)).content)).size, 1));
	check("chat", "stop", "ends the text before the word", async () => {
		const long = (await make({ numPredict: 24 }).invoke(STORY)).content, word = long.split(" ")[4];
		assert.equal((await make({ numPredict: 24 }).invoke(STORY, { stop: [word] })).content, long.slice(0, long.indexOf(word)));
	});
	check("chat", "withStructuredOutput", "gives a value by its schema", async () => {
		const r = await make({ numPredict: 40 }).withStructuredOutput(z.object({ ok: z.boolean() }), { method: "jsonSchema", name: "answer" }).invoke("Is water wet?");
		assert.equal(typeof r.ok, "boolean");
	});
	check("chat", "bindTools", "tells the tools to the model", async () => assert.ok(read(await make().bindTools([weather]).invoke("Hi")) > read(await make().invoke("Hi")) + 20));
	check("chat", "pictures", "in the content are looked at", async () => {
		const ask = (...content) => make({ model: "seer", numPredict: 1 }).invoke([new HumanMessage({ content })]), text = { type: "text", text: "What is it?" };
		const seen = read(await ask(text, { type: "image_url", image_url: { url: `data:image/png;base64,${png(61)}` } }));
		assert.ok(seen >= read(await ask(text)) + 4); /* ChatOllama sends it in a message of its own */
	});
	check("chat", "signal", "ends a stream on the server", async () => {
		const leave = new AbortController(), m = make({ numPredict: 3000, ...(client.includes("ollama") ? { format: LONG_SCHEMA } : { modelKwargs: { response_format: { type: "json_schema", json_schema: { name: "long", schema: LONG_SCHEMA } } } }) });
		await stops(async () => {
			await all(await m.stream(STORY, { signal: leave.signal }));
			leave.signal.throwIfAborted();
		}, () => leave.abort());
	});
	check("chat", "model", "that is not there is an error with its name", () => refused(() => make({ model: "nope" }).invoke("Hi"), 404, /nope/));
}

const ollama = checks("langchain-ollama-js"), openai = checks("langchain-openai-js");
ollama("chat", "think", "gives the thinking apart", async () => {
	const ask = (think) => FORMS["langchain-ollama-js"]({ model: "thinker", think, numPredict: 60 }).invoke("Say hello.");
	assert.ok((await ask(true)).additional_kwargs.reasoning_content);
	assert.ok(!(await ask(false)).additional_kwargs.reasoning_content);
});
ollama("chat", "format json", "is an object", async () => assert.ok((await FORMS["langchain-ollama-js"]({ format: "json", numPredict: 30 }).invoke("A cat as JSON.")).content.trim().startsWith("{")));
openai("chat", "bindTools tool_choice", "calls the tool, whole and streamed", async () => {
	const m = FORMS["langchain-openai-js"]({ numPredict: 60 }).bindTools([weather], { tool_choice: "weather", parallel_tool_calls: false });
	const r = await m.invoke("How is the weather in Rome?");
	assert.deepEqual(r.tool_calls.map((c) => [c.name, ["Rome", "Oslo"].includes(c.args.city)]), [["weather", true]]);
	const [first, ...rest] = await all(await m.stream("How is the weather in Rome?"));
	assert.deepEqual(rest.reduce((a, b) => a.concat(b), first).tool_calls.map((c) => c.name), ["weather"]);
});
openai("chat", "logprobs", "belong to the tokens", async () => {
	const r = await FORMS["langchain-openai-js"]({ logprobs: true, topLogprobs: 2 }).invoke("Say hello.");
	assert.equal(r.response_metadata.logprobs.content.map((t) => t.token).join(""), r.content);
});
openai("responses", "useResponsesApi", "answers by /v1/responses", async () => {
	const r = await FORMS["langchain-openai-js"]({ useResponsesApi: true }).invoke(HI);
	assert.ok(r.text && /^resp_/.test(r.response_metadata.id ?? r.id));
});
for (const [client, make] of [["langchain-ollama-js", () => new OllamaEmbeddings({ baseUrl: URL, headers, model: "minilm" })],
	["langchain-openai-js", () => new OpenAIEmbeddings({ configuration: { baseURL: `${URL}/v1` }, apiKey: KEY, model: "minilm", maxRetries: 0 })]])
	checks(client)("embeddings", "embedDocuments, embedQuery", "are the same vectors, in their order", async () => {
		const m = make(), [a, b] = await m.embedDocuments(["A cat.", "A price."]);
		near([...(await m.embedQuery("A cat."))], [...a], 1e-3);
		assert.ok(Math.max(...a.map((x, i) => Math.abs(x - b[i]))) > 0.01);
	});

/* The page of models against the stand-in: downloads, loading, aliases with their trials, side by side. */
import { join } from "node:path";
import { check, equal, person, ROOT, sideways, test, tooSmall, unnamed, until } from "./lib.mjs";

const { mockModel } = await import(join(ROOT, "web/dev/mock-models.mjs"));
const PROMPTS = Array.from({ length: 21 }, (_, i) => `Frage Nummer ${i + 1}?`);

export function modelTests(w, mock, { page: get }) {
	const row = (page, name) => page.getByRole("listitem").filter({ has: page.getByRole("button", { name, exact: true }) });
	const choose = (page, name, item) => person.menu(page, page.getByRole("button", { name: `Actions for ${name}` }), item);

	test("models: a model is got with licence, speed and progress; a reload loses nothing; cancelled, it goes on", async () => {
		const page = get();
		await page.goto(`${w.url}/models/get`);
		await page.getByRole("rowheader", { name: "Qwen3 8B" }).waitFor();
		await page.getByRole("button", { name: "Get Qwen3 8B" }).click();
		const card = page.getByRole("article", { name: "qwen3:8b" });
		await card.getByRole("progressbar").waitFor();
		await card.getByText("Apache License 2.0").waitFor();
		await card.getByText(/^\d+\sMB\/s$/).waitFor();
		await card.getByText(/^\d+ s left$/).waitFor();
		equal(await page.getByRole("button", { name: "Get Qwen3 8B" }).isDisabled(), true, "a second click does nothing");
		await page.reload();
		await card.getByRole("progressbar").waitFor();
		await page.getByRole("button", { name: "Cancel the download of qwen3:8b" }).click();
		await card.getByText("Cancelled. What has come is kept for a week.").waitFor();
		const had = mock.partial.get("hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M");
		check(had > 0, "something had come");
		mock.pullStep = 1_500_000_000;
		await card.getByRole("button", { name: "Go on" }).click();
		await until(() => mock.pulls[0].total > 0 && mock.pulls[0].completed >= had, "it begins where it was");
		await page.getByRole("row").filter({ hasText: "Qwen3 8B" }).getByText("Here", { exact: true }).waitFor();
		mock.pullStep = 120_000_000;
	}, 60);

	test("models: what cannot be got says why", async () => {
		const page = get();
		await page.goto(`${w.url}/models/get`);
		await page.getByLabel("Name or address of the model").fill("nowhere.example/x:y");
		await page.keyboard.press("Enter");
		await page.getByRole("article", { name: "nowhere.example/x:y" }).getByText("This destination is not on the list of allowed ones.").waitFor();
		await page.getByLabel("Name or address of the model").fill("evil.example/x:y");
		await page.keyboard.press("Enter");
		await page.getByText("evil.example:443 is not on the list of allowed hosts").waitFor();
		equal(await page.inputValue("input.mono"), "evil.example/x:y", "what was typed stays");
	});

	test("models: a model is made the default, looked at, and deleted", async () => {
		const page = get();
		await page.goto(`${w.url}/models`);
		await choose(page, "qwen3:8b", "Make it the default");
		await page.getByText("qwen3:8b is now the default").waitFor();
		await page.getByRole("button", { name: "qwen3:8b", exact: true }).click();
		const dialog = page.getByRole("dialog", { name: "qwen3:8b" });
		await dialog.getByText("Nothing depends on this version.").waitFor();
		await dialog.getByText("Everyone in the team may ask it.").waitFor();
		check(/[0-9a-f]{64}/.test(await dialog.innerText()), "the digest is shown");
		await dialog.getByText("Licence", { exact: true }).click();
		await dialog.getByText("The text of the licence.").waitFor();
		await page.keyboard.press("Escape");
		await choose(page, "qwen3:8b", "Delete");
		await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
		await until(async () => (await page.getByRole("button", { name: "Actions for qwen3:8b" }).count()) === 0, "it is gone");
		mock.standard = "smollm2";
	});

	test("models: a model is loaded, unloaded and kept loaded; a failure says why", async () => {
		const page = get();
		mock.models.push(mockModel("huge:70b"));
		await page.goto(`${w.url}/models`);
		await page.getByRole("img", { name: /^Memory: .* free$/ }).waitFor();
		await page.getByRole("button", { name: "Unload smollm2" }).click();
		await page.getByRole("button", { name: "Load smollm2" }).click();
		await row(page, "smollm2").getByText("loaded", { exact: true }).waitFor();
		await choose(page, "smollm2", "Keep it loaded");
		await row(page, "smollm2").getByText("always loaded", { exact: true }).waitFor();
		equal(await page.getByRole("button", { name: "Unload smollm2" }).count(), 0, "it is not unloaded by mistake");
		await choose(page, "smollm2", "Let it be unloaded");
		await page.getByRole("button", { name: "Unload smollm2" }).waitFor();
		await page.getByRole("button", { name: "Load huge:70b" }).click();
		await page.getByText("There is not enough memory.").waitFor();
		mock.models = mock.models.filter((m) => m.name !== "huge:70b");
	});

	test("models: many models can be searched and filtered", async () => {
		const page = get();
		for (let i = 0; i < 9; i++) mock.models.push(mockModel(`many:${i}b`, { family: i % 2 ? "odd" : "even", capabilities: ["completion", ...(i === 4 ? ["vision"] : [])] }));
		await page.goto(`${w.url}/models`);
		await page.getByLabel("Search by name").fill("many odd");
		await until(async () => (await page.getByRole("main").getByRole("button", { name: /^Actions for/ }).count()) === 4, "four are found");
		await page.getByRole("button", { name: "sees pictures" }).click();
		await page.getByText("Nothing here fits the search.").waitFor();
		await page.getByLabel("Search by name").fill("");
		await until(async () => (await page.getByRole("main").getByRole("button", { name: /^Actions for/ }).count()) === 1, "the one that sees");
		mock.models = mock.models.filter((m) => !m.name.startsWith("many:"));
	});

	test("models: an alias: candidate, prompts, trial, decision, promotion, and back in one step", async () => {
		const page = get();
		mock.models.push(mockModel("neu:4b"));
		await page.goto(`${w.url}/models/aliases`);
		await page.getByRole("button", { name: "New alias" }).click();
		await page.getByLabel("Name", { exact: true }).fill("assistant");
		await page.getByLabel("Answers with").selectOption("smollm2");
		await page.getByRole("button", { name: "Make alias" }).click();
		await page.waitForURL(/\/models\/aliases\/assistant$/);
		const promote = page.getByRole("button", { name: "Promote", exact: true });
		equal(await promote.isDisabled(), true, "nothing to promote yet");
		await page.getByLabel("Choose a candidate").selectOption("neu:4b");
		await page.getByRole("button", { name: "Set", exact: true }).click();
		await page.getByText("20 more prompts are needed below.").waitFor();
		await page.getByLabel("New prompts").fill(PROMPTS.join("\n"));
		await page.getByRole("button", { name: "Add 21 prompts" }).click();
		await page.getByRole("heading", { name: "Prompts (21)" }).waitFor();
		await page.getByRole("button", { name: "Delete prompt 21" }).click();
		await page.getByRole("heading", { name: "Prompts (20)" }).waitFor();
		await page.getByRole("button", { name: "Start a trial" }).click();
		await page.getByRole("progressbar", { name: "Progress of the trial" }).waitFor();
		await page.getByText("waits for a decision").waitFor();
		equal(await promote.isDisabled(), true, "nobody has decided yet");
		await page.getByRole("link", { name: /^Answers of the trial/ }).click();
		const pairs = page.getByRole("article", { name: /^Prompt / });
		await until(async () => (await pairs.count()) === 20, "20 pairs of answers");
		equal(await pairs.first().getByRole("region").count(), 2, "old and new stand side by side");
		await page.getByLabel(/^Only the 15 that differ/).check();
		await until(async () => (await pairs.count()) === 15, "those that differ");
		await page.getByLabel("What speaks for it or against it?").fill("reads better");
		await page.getByRole("button", { name: "Accept" }).click();
		await page.getByText("Trial accepted").waitFor();
		await page.getByText("reads better").waitFor();
		await page.getByRole("link", { name: "assistant", exact: true }).click();
		await promote.click();
		const dialog = page.getByRole("dialog", { name: "Promote the candidate of assistant" });
		await dialog.getByText("No conversation asks this alias yet.").waitFor();
		await dialog.getByRole("button", { name: "Promote" }).click();
		await page.getByText("assistant now answers with neu:4b").waitFor();
		equal(mock.aliases.get("assistant").previous.model, "smollm2", "what was production is previous");
		await page.getByRole("button", { name: "Go back to this one" }).click();
		await page.getByText("assistant answers with smollm2 again").waitFor();
		equal(mock.aliases.get("assistant").production.model, "smollm2", "production");
	}, 90);

	test("models: without a trial only with a reason, and an alias guards its model", async () => {
		const page = get();
		await page.goto(`${w.url}/models/aliases/assistant`);
		await page.getByLabel("Choose a candidate").selectOption("neu:4b");
		await page.getByRole("button", { name: "Set", exact: true }).click();
		await page.getByText("The trial was accepted: the candidate can be promoted.").waitFor();
		await page.getByRole("link", { name: /^Answers of the trial/ }).first().click();
		await page.getByRole("button", { name: "Reject" }).click();
		await page.getByText("Trial rejected").waitFor();
		await page.goto(`${w.url}/models/aliases/assistant`);
		await page.getByRole("button", { name: "Promote without a trial" }).click();
		const dialog = page.getByRole("dialog", { name: "Promote without a trial" });
		equal(await dialog.getByRole("button", { name: "Promote" }).isDisabled(), true, "it wants a reason");
		await dialog.getByLabel("Reason").fill("urgent correction");
		await dialog.getByRole("button", { name: "Promote" }).click();
		await page.getByText("Without a trial: urgent correction").waitFor();
		await page.goto(`${w.url}/models`);
		await choose(page, "neu:4b", "Delete");
		await page.locator("dialog").getByText("assistant (production)").waitFor();
		await page.keyboard.press("Escape");
		check(mock.models.some((m) => m.name === "neu:4b"), "a no deletes nothing");
	}, 60);

	test("models: one question to two models streams side by side and leaves no conversation", async () => {
		const page = get();
		const before = mock.conversations.size;
		await page.goto(`${w.url}/models/compare`);
		const question = page.getByLabel("A question to all of them");
		await page.getByLabel("Model 1").selectOption("smollm2");
		await page.getByLabel("Model 2").selectOption("neu:4b");
		await question.fill("COUNT for us");
		await question.press("Enter");
		const sides = page.getByRole("article", { name: /^Answer from/ });
		const lengths = () => sides.locator(".prose").evaluateAll((all) => all.map((e) => e.textContent.length));
		const first = await until(async () => (await lengths()).every((n) => n > 5) && lengths(), "both have begun");
		await until(async () => (await lengths()).every((n, i) => n > first[i]), "both grow");
		await page.getByRole("button", { name: "Stop" }).click();
		await until(async () => (await page.getByText("Stopped", { exact: true }).count()) === 2, "both are stopped");
		await until(() => mock.left === 2, "the server hears of it");
		await question.fill("Just say thanks");
		await page.getByRole("button", { name: "One more" }).click();
		equal(await page.getByLabel("Model 3").count(), 1, "a third one");
		await page.getByRole("button", { name: "Ask", exact: true }).click();
		await until(async () => (await page.getByText("done", { exact: true }).count()) === 3, "three ends", 40);
		await question.fill("BUSY");
		await page.getByRole("button", { name: "Ask", exact: true }).click();
		await page.getByText("server busy, please try again.").first().waitFor();
		equal(mock.conversations.size, before, "conversations");
	}, 90);

	test("models: a member sees the models and what they can do, and nothing to change", async () => {
		const lea = mock.addPerson({ email: "lea@example.org", name: "Lea Brandt", role: "member", password: "noch eine gute Losung", language: "en" });
		const device = await w.watch.device(w.browser);
		const page = await device.newPage();
		await person.logIn(page, w.url, lea.email, lea.password);
		await page.getByRole("link", { name: "Models" }).click();
		await page.getByRole("button", { name: "smollm2", exact: true }).waitFor();
		for (const name of [/^Load /, /^Unload /, /^Get /]) equal(await page.getByRole("button", { name }).count(), 0, String(name));
		equal(await page.getByRole("link", { name: "Get a model" }).count(), 0, "the way to get models");
		await page.getByRole("button", { name: "Actions for smollm2" }).click();
		equal(await page.getByRole("menuitem").allInnerTexts(), ["Details"], "what one can do with a model");
		await page.keyboard.press("Enter");
		await page.getByRole("dialog", { name: "smollm2" }).getByText("Everyone in the team may ask it.").waitFor();
		await page.keyboard.press("Escape");
		await page.getByRole("link", { name: "Aliases" }).click();
		await page.getByRole("heading", { name: "assistant" }).waitFor();
		equal(await page.getByRole("button", { name: "New alias" }).count(), 0, "new aliases");
		equal(await page.getByText("previous").count(), 0, "versions that are not in use");
		for (const path of ["/models/get", "/models/aliases/assistant"]) {
			await page.goto(w.url + path);
			await page.getByText("You do not have the right to do this.").waitFor();
		}
		await page.goto(`${w.url}/models/compare`);
		await page.getByLabel("A question to all of them").fill("Just say thanks");
		await page.getByRole("button", { name: "Ask", exact: true }).click();
		await until(async () => (await page.getByText("done", { exact: true }).count()) === 2, "a member may compare", 40);
		await device.close();
	}, 90);

	test("models: the page of models in German, on a phone", async () => {
		const uta = mock.addPerson({ email: "uta@example.org", name: "Uta Horn", role: "admin", password: "und noch eine Losung" });
		const phone = await w.watch.device(w.browser, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
		const p = await phone.newPage();
		await person.logIn(p, w.url, uta.email, uta.password);
		const trial = mock.aliases.get("assistant").trials[0].id;
		for (const [path, heading] of [["", "Modelle auf diesem Server"], ["/get", "Empfohlen für diesen Rechner"], ["/aliases", "Aliasnamen"], ["/aliases/assistant", "Vom Kandidaten zur Produktion"], [`/aliases/assistant/${trial}`, "Probelauf von assistant"], ["/compare", "Nebeneinander"]]) {
			await p.goto(`${w.url}/models${path}`);
			await p.getByRole("heading", { name: heading }).waitFor();
			await p.waitForTimeout(300);
			equal(await sideways(p), 0, `sideways scrolling of ${heading}`);
			equal(await tooSmall(p), [], `small targets of ${heading}`);
			equal(await unnamed(p), [], `nameless controls of ${heading}`);
		}
		await p.goto(`${w.url}/models`);
		await p.getByRole("button", { name: "smollm2", exact: true }).tap();
		await p.getByRole("dialog", { name: "smollm2" }).waitFor();
		await p.waitForTimeout(300);
		equal(await tooSmall(p), [], "small targets of the details");
		await p.keyboard.press("Escape");
		/* what the server refuses is German, too */
		await p.goto(`${w.url}/models/aliases`);
		await p.getByRole("button", { name: "Neuer Alias" }).tap();
		await p.getByLabel("Name", { exact: true }).fill("smollm2");
		await p.getByRole("button", { name: "Alias anlegen" }).tap();
		await p.getByText("ein Modell heißt „smollm2“").waitFor();
		await phone.close();
		mock.aliases.clear();
		mock.models = mock.models.filter((m) => m.name !== "neu:4b");
	}, 90);
}

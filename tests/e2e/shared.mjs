/* Tests that hold for the stand-in and for the program alike. `world` has: url, watch, browser, owner
 * {email, password}, ownerLink(), long (a question with a long answer), short. */
import { check, equal, person, sameBeginning, sideways, test, tooSmall, unnamed, until } from "./lib.mjs";

export function sharedTests(w) {
	const { watch } = w;
	let desk; /* the owner's desk */
	let page;

	test("begin: the owner link makes the owner, and no address carries its token", async () => {
		const link = await w.ownerLink();
		desk = await watch.device(w.browser);
		page = await desk.newPage();
		await page.goto(link);
		await page.fill("input[name=name]", "Ada Sommer");
		await page.fill("input[name=email]", w.owner.email);
		await page.fill("input[name=password]", "short");
		await page.fill("input[name=repeat]", "short");
		await page.click("button[type=submit]");
		await page.waitForSelector("[aria-invalid=true]");
		await page.fill("input[name=password]", w.owner.password);
		await page.fill("input[name=repeat]", w.owner.password);
		await page.click("button[type=submit]");
		await page.waitForSelector("#composer");
		const token = link.split("#/link/")[1];
		check(token.length > 20, "the link has a token");
		check(!watch.urls.some((u) => u.includes(token)), "the token was in an address that went to the server");
		check(!page.url().includes(token), "the token is still in the address bar");
		equal(await page.locator("html").getAttribute("lang"), "en", "language");
		await page.locator(".steps").getByText(/^Best models for this machine: \S/).waitFor();
		await page.goto(link);
		await page.getByRole("heading", { name: "This link no longer works" }).waitFor();
		await page.goto(w.url);
		await page.waitForSelector("#composer");
	});

	test("log-out, a wrong password, log-in", async () => {
		await page.getByRole("button", { name: /^Account/ }).click();
		await page.getByRole("menuitem", { name: "Sign out" }).click();
		await page.waitForSelector("input[type=password]");
		await page.fill("input[type=email]", w.owner.email);
		await page.fill("input[type=password]", "not the password");
		await page.click("button[type=submit]");
		await page.getByRole("alert").waitFor();
		equal(await page.inputValue("input[type=password]"), "", "password field after a failure");
		await person.logIn(page, w.url, w.owner.email, w.owner.password);
	});

	test("a question is answered while one reads, with its origin", async () => {
		await page.goto(w.url);
		await page.getByText("Test model, not for real questions.").waitFor();
		await person.ask(page, w.long);
		const lengths = new Set();
		await until(async () => {
			if (!(await person.streaming(page))) return true;
			lengths.add((await person.answer(page)).length);
			return lengths.size > 4;
		}, "a growing answer");
		check(lengths.size >= 3, `the answer came in ${lengths.size} steps`);
		await person.finished(page);
		for (let attempt = 0; attempt < 5; attempt++) {
			await page.goto(w.url);
			await person.ask(page, w.short);
			await person.finished(page);
			if ((await page.getByText("Stopped", { exact: true }).count()) === 0) break; /* it ended by itself */
		}
		await page.getByRole("button", { name: "Details of this answer" }).click();
		const text = await page.locator("dialog").innerText();
		check(/[0-9a-f]{64}/.test(await page.locator("dialog").textContent()), "the model's digest is shown");
		check(/Engine build/.test(text) && /Speed/.test(text), "engine and speed are shown");
		await page.keyboard.press("Escape");
		await page.locator("dialog").waitFor({ state: "detached" });
	}, 120);

	test("stop keeps what was written", async () => {
		await page.goto(w.url);
		await person.ask(page, w.long);
		await person.growing(page, 10);
		await page.click("button.stop");
		await page.getByText("Stopped", { exact: true }).waitFor();
		const text = await person.answer(page);
		check(text.length >= 10, "the text is kept");
		await page.reload();
		await page.getByText("Stopped", { exact: true }).waitFor();
		equal(await person.answer(page), text, "text after a reload");
	});

	test("a reload in mid-answer loses nothing", async () => {
		for (let attempt = 0; ; attempt++) {
			await page.goto(w.url);
			await person.ask(page, w.long);
			await person.growing(page, 10);
			await page.reload();
			await page.waitForSelector(".answer");
			const middle = await person.growing(page, 4); /* more than the number of a list's first item */
			const live = await person.streaming(page);
			const end = await person.finished(page);
			if ((!live || end.length <= middle.length) && attempt < 4) continue; /* it was over too soon */
			check(live && end.length > middle.length, "the answer went on after the reload");
			sameBeginning(end, middle);
			await page.reload();
			await page.waitForSelector(".answer .prose > *");
			equal(await person.finished(page), end, "what the server keeps");
			return;
		}
	}, 150);

	test("a second device sees the answer in the middle, and follows", async () => {
		const other = await watch.device(w.browser);
		const second = await other.newPage();
		await person.logIn(second, w.url, w.owner.email, w.owner.password);
		for (let attempt = 0; ; attempt++) {
			await page.goto(w.url);
			await person.ask(page, w.long);
			await person.growing(page, 10);
			await second.goto(page.url());
			await second.waitForSelector(".answer");
			const middle = await person.growing(second, 1);
			const live = await person.streaming(second);
			const [a, b] = await Promise.all([person.finished(page), person.finished(second)]);
			equal(b, a, "the second device's text");
			if (live && a.length > middle.length) break;
			check(attempt < 4, "no answer was long enough to be met in the middle");
		}
		/* and the other way round: what the second asks, the first sees without doing anything */
		await second.fill("#composer", w.short);
		await second.press("#composer", "Enter");
		await until(async () => (await page.locator(".question").count()) === 2, "the second device's question on the first");
		await Promise.all([person.finished(page), person.finished(second)]);
		equal(await person.answer(page), await person.answer(second), "both see the same");
		equal(await page.locator(".question").count(), 2, "no message stands there twice");
		await other.close();
	}, 200);

	test("a stop on one device stops on the other", async () => {
		const two = await desk.newPage();
		await page.goto(w.url);
		await person.ask(page, w.long);
		await person.growing(page, 5);
		await two.goto(page.url());
		await two.waitForSelector("button.stop");
		await two.click("button.stop");
		await page.getByText("Stopped", { exact: true }).waitFor();
		await two.close();
	});

	test("rename, everywhere; delete only after a yes", async () => {
		await page.goto(w.url);
		await person.ask(page, w.short);
		await person.finished(page);
		const two = await desk.newPage();
		await two.goto(w.url);
		await two.waitForSelector("nav .row");
		const row = page.locator("nav .row.here");
		await person.menu(page, row.getByRole("button"), "Rename");
		await page.locator("nav .row input:focus").waitFor();
		await page.keyboard.type("Mühlstraße & Söhne");
		await page.keyboard.press("Enter");
		await two.getByRole("link", { name: "Mühlstraße & Söhne" }).waitFor();
		const before = await two.locator("nav .row").count();
		await person.menu(page, page.locator("nav .row.here").getByRole("button"), "Delete");
		await page.locator("dialog").waitFor();
		await page.keyboard.press("Escape");
		equal(await page.locator("nav .row").count(), before, "conversations after a no");
		await person.menu(page, page.locator("nav .row.here").getByRole("button"), "Delete");
		await page.locator("dialog").getByRole("button", { name: "Delete" }).click();
		await until(async () => (await two.locator("nav .row").count()) === before - 1, "the row is gone in the other tab");
		await page.waitForURL((u) => u.pathname === "/");
		await page.goBack().catch(() => {});
		await page.goto(w.url);
		await two.close();
	});

	test("another version of a question, and back", async () => {
		await page.goto(w.url);
		await person.ask(page, w.short);
		await person.finished(page);
		await page.locator(".question").first().hover();
		await page.getByRole("button", { name: "Edit and send again" }).click();
		await page.getByLabel("Edit message").fill(`${w.short} Now!`);
		await page.keyboard.press("Enter");
		await until(async () => (await page.locator(".question .bubble").first().innerText()).endsWith("Now!"), "the new version");
		await person.finished(page);
		equal(await page.locator(".question").count(), 1, "one path is shown");
		await page.getByRole("button", { name: "Previous version" }).first().click();
		await until(async () => (await page.locator(".question .bubble").first().innerText()) === w.short, "the first version again");
		await page.reload();
		await page.waitForSelector(".question");
		check((await page.locator(".question .bubble").first().innerText()).endsWith("Now!"), "the newest version comes first");
	}, 120);

	test("language, address and theme change at once and stay", async () => {
		await page.goto(`${w.url}/settings`);
		await page.getByRole("radio", { name: "Deutsch" }).check({ force: true });
		await page.getByRole("heading", { name: "Über Sie" }).waitFor();
		equal(await page.locator("html").getAttribute("lang"), "de", "lang");
		await page.getByRole("radio", { name: "Du", exact: true }).check({ force: true });
		await page.getByRole("heading", { name: "Über dich" }).waitFor();
		await page.getByRole("radio", { name: "Dunkel" }).check({ force: true });
		const dark = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
		await until(async () => (await dark()) === "rgb(27, 28, 26)", "a dark page");
		await page.reload({ waitUntil: "commit" });
		await page.waitForFunction(() => document.body !== null);
		equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark", "theme before the page has run");
		await page.getByRole("heading", { name: "Über dich" }).waitFor();
		await page.getByRole("radio", { name: "English" }).check({ force: true });
		await page.getByRole("heading", { name: "About you" }).waitFor();
		await page.getByRole("radio", { name: "System" }).check({ force: true });
		await until(async () => (await dark()) === "rgb(253, 252, 250)", "a light page");
	});

	test("on a phone nothing is cut off or too small", async () => {
		const phone = await watch.device(w.browser, { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 });
		const p = await phone.newPage();
		await person.logIn(p, w.url, w.owner.email, w.owner.password);
		for (const path of ["/", "/settings", "/settings/keys", "/models", "/models/get", "/models/aliases", "/models/compare", "/admin/load", "/admin/people", "/admin/network", "/admin/audit", "/admin/system"]) {
			await p.goto(w.url + path);
			await p.waitForSelector("#main > *");
			await p.waitForTimeout(250);
			equal(await sideways(p), 0, `sideways scrolling of ${path}`);
			equal(await tooSmall(p), [], `small targets of ${path}`);
			equal(await unnamed(p), [], `nameless controls of ${path}`);
		}
		await p.goto(w.url);
		await p.fill("#composer", w.short);
		await p.getByRole("button", { name: "Send", exact: true }).tap();
		await person.finished(p);
		await p.goto(w.url);
		await p.getByRole("button", { name: "Open sidebar" }).tap();
		await p.locator("nav .row a").first().tap();
		await p.waitForURL(/\/c\//);
		await until(async () => !(await p.locator("nav .row").first().isVisible()), "the drawer closes");
		await p.waitForSelector(".answer .prose > *");
		equal(await sideways(p), 0, "sideways scrolling of a conversation");
		equal(await tooSmall(p), [], "small targets of a conversation");
		await p.tap("#composer");
		await p.fill("#composer", w.short);
		await p.getByRole("button", { name: "Send", exact: true }).tap();
		await p.waitForTimeout(300);
		await person.finished(p);
		await phone.close();
	}, 120);

	test("everything works by keyboard alone", async () => {
		await page.goto(`${w.url}/settings`);
		await page.getByRole("heading", { name: "About you" }).waitFor();
		await page.keyboard.press("Tab");
		equal(await page.evaluate(() => document.activeElement?.className), "skip", "first stop");
		await page.keyboard.press("Enter");
		equal(await page.evaluate(() => document.activeElement?.id), "main", "where the skip link leads");
		await page.keyboard.press("Control+Shift+KeyO");
		await page.waitForSelector("#composer");
		await page.keyboard.press("Shift+Escape");
		equal(await page.evaluate(() => document.activeElement?.id), "composer", "Shift+Esc");
		await page.keyboard.type("two");
		await page.keyboard.press("Shift+Enter");
		await page.keyboard.type("lines");
		equal(await page.inputValue("#composer"), "two\nlines", "Shift+Enter");
		await page.fill("#composer", "");
		await page.keyboard.type(w.long);
		await page.keyboard.press("Enter");
		await page.waitForSelector(".answer");
		await person.growing(page, 5);
		await page.keyboard.press("Escape");
		await page.getByText("Stopped", { exact: true }).waitFor();
		await page.keyboard.press("Control+Shift+KeyM");
		await page.getByRole("menu").waitFor();
		await page.keyboard.press("ArrowDown");
		await page.keyboard.press("Escape");
		await page.getByRole("menu").waitFor({ state: "detached" });
		await page.keyboard.press("Control+Period");
		await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
		for (let i = 0; i < 5; i++) await page.keyboard.press("Tab");
		check(await page.evaluate(() => document.activeElement === document.body || document.querySelector("dialog")?.contains(document.activeElement)), "the focus stays in the dialog");
		await page.keyboard.press("Escape");
		await page.keyboard.press("Control+Shift+KeyO");
		await until(() => page.evaluate(() => location.pathname === "/" && document.activeElement?.id === "composer"), "a new conversation, ready to type");
		await page.keyboard.press("Alt+ArrowDown");
		await page.waitForURL(/\/c\//);
		/* rename and delete without a mouse: the row's menu button is the next stop after its link */
		await page.locator("nav .row.here a").focus();
		await page.keyboard.press("Tab");
		await page.keyboard.press("Enter");
		await page.getByRole("menu").waitFor();
		await page.keyboard.press("End");
		await page.keyboard.press("Enter");
		await page.locator("dialog").waitFor();
		equal(await page.evaluate(() => document.activeElement?.textContent?.trim()), "Delete", "focus in the question");
		await page.keyboard.press("Enter");
		await page.waitForURL((u) => u.pathname === "/");
	}, 90);

	for (const shared of [true, false])
		test(`12 tabs stream over one connection ${shared ? "by a SharedWorker" : "by an elected leader"}`, async () => {
			const device = await watch.device(w.browser);
			if (!shared) await device.addInitScript(() => void delete window.SharedWorker);
			const first = await device.newPage();
			await person.logIn(first, w.url, w.owner.email, w.owner.password);
			await person.ask(first, w.short);
			await person.finished(first);
			const tabs = [first];
			for (let i = 1; i < 12; i++) {
				const p = await device.newPage();
				await p.goto(first.url());
				tabs.push(p);
			}
			await Promise.all(tabs.map((p) => p.waitForSelector(".answer .prose > *")));
			w.beforeTabs?.();
			const seen = tabs.map(() => new Set());
			await first.fill("#composer", w.long);
			await first.press("#composer", "Enter");
			await Promise.all(tabs.map((p) => until(async () => (await p.locator(".answer").count()) === 2, "the new answer in every tab")));
			await until(async () => {
				const all = await Promise.all(tabs.map((p) => person.answer(p)));
				all.forEach((t, i) => seen[i].add(t.length));
				return !(await person.streaming(first)) || seen.every((s) => s.size > 6);
			}, "text that grows in every tab", 60);
			const ends = await Promise.all(tabs.map((p) => person.finished(p)));
			for (const [i, t] of ends.entries()) equal(t, ends[0], `text in tab ${i}`);
			for (const [i, s] of seen.entries()) check(s.size >= 3, `tab ${i} saw ${s.size} steps: it did not stream`);
			w.afterTabs?.();
			/* the tab that may hold the stream goes; the others live on */
			await first.close();
			const next = tabs[5];
			await next.fill("#composer", w.short);
			await next.press("#composer", "Enter");
			await until(async () => (await tabs[11].locator(".answer").count()) === 3, "the answer in another tab", 30);
			await person.finished(tabs[11]);
			await device.close();
		}, 240);

	test("hostile text in a question and a title stays text", async () => {
		const nasty = '<img src=x onerror="window.__xss=1"><script>window.__xss=1</script>{{7*7}} ${1} </title>';
		await page.goto(w.url);
		await person.ask(page, `${nasty} ${w.short}`);
		await person.finished(page);
		await person.menu(page, page.locator("nav .row.here").getByRole("button"), "Rename");
		await page.locator("nav .row input:focus").waitFor();
		await page.keyboard.press("Control+A");
		await page.keyboard.insertText(nasty);
		await page.keyboard.press("Enter");
		await page.getByRole("link", { name: nasty }).waitFor();
		await page.reload();
		await page.waitForSelector(".bubble");
		check((await page.locator(".bubble").first().innerText()).includes(nasty), "the question is shown as it was typed");
		check((await page.title()).startsWith(nasty), "the title is shown as it was typed");
		equal(await page.evaluate(() => window.__xss), undefined, "what a script would have set");
		equal(await page.locator("main img, main script").count(), 0, "elements made from text");
		await page.goto(`${w.url}/c/%3Cimg%20src=x%20onerror=alert(1)%3E`);
		await page.getByText("This conversation is not here").waitFor();
		await page.goto(`${w.url}/#/link/%3Cscript%3Ealert(1)%3C%2Fscript%3E`);
		await page.waitForSelector("#composer");
	}, 90);

	test("an API key is shown once, and works", async () => {
		await page.goto(`${w.url}/settings/keys`);
		await page.getByRole("button", { name: "New API key" }).click();
		await page.getByLabel("What is it for?").fill("script");
		await page.getByRole("button", { name: "Make key" }).click();
		const secret = (await page.locator("[data-secret]").innerText()).trim();
		check(/^tsr_/.test(secret), "a key of ours");
		await page.getByRole("button", { name: "I have kept it" }).click();
		await page.reload();
		await page.getByText(`…${secret.slice(-4)}`).waitFor();
		check(!(await page.content()).includes(secret), "the key is not shown again");
		await w.keyWorks?.(secret, true);
		await page.getByRole("button", { name: "Revoke" }).first().click();
		await page.locator("dialog").getByRole("button", { name: "Revoke" }).click();
		await page.getByText("revoked", { exact: true }).waitFor();
		await w.keyWorks?.(secret, false);
	});

	test("an invitation brings a second person, who sees nothing foreign", async () => {
		const mine = await page.evaluate(async () => (await (await fetch("/team/v1/conversations")).json()).conversations[0].id);
		await page.goto(`${w.url}/admin/people`);
		await page.getByRole("button", { name: "Invite" }).click();
		await page.getByLabel("E-mail address").fill("ben@example.org");
		await page.getByRole("button", { name: "Make link" }).click();
		const link = (await page.locator("[data-link]").innerText()).trim();
		await page.getByRole("button", { name: "Done" }).click();
		const other = await watch.device(w.browser);
		w.ben = await other.newPage();
		await w.ben.goto(link);
		await w.ben.getByRole("heading", { name: "Welcome to the team" }).waitFor();
		equal(await w.ben.inputValue("input[name=email]"), "ben@example.org", "the invited address");
		await w.ben.fill("input[name=name]", "Ben Krug");
		await w.ben.fill("input[name=password]", "eine andere gute Losung");
		await w.ben.fill("input[name=repeat]", "eine andere gute Losung");
		await w.ben.click("button[type=submit]");
		await w.ben.waitForSelector("#composer");
		equal(await w.ben.getByRole("link", { name: "Administration" }).count(), 0, "administration for a member");
		equal(await w.ben.locator("nav .row").count(), 0, "foreign conversations");
		await w.ben.goto(`${w.url}/c/${mine}`);
		await w.ben.getByText("This conversation is not here").waitFor();
		await w.ben.goto(`${w.url}/admin/people`);
		await w.ben.getByText("You do not have the right to do this.").waitFor();
		await w.ben.goto(w.url);
		await person.ask(w.ben, w.short);
		await person.finished(w.ben);
	}, 90);

	test("who is disabled is logged out at once, without a reload", async () => {
		await page.goto(`${w.url}/admin/people`);
		await person.menu(page, page.getByRole("button", { name: "Actions for Ben Krug" }), "Disable");
		await page.locator("dialog").getByRole("button", { name: "Disable" }).click();
		await page.getByText("disabled", { exact: true }).waitFor();
		await w.ben.waitForSelector("input[type=password]");
		await w.ben.getByText("The session has ended.").waitFor();
		equal(await w.ben.locator(".answer").count(), 0, "nothing of the conversation is left on the page");
		await w.ben.fill("input[type=email]", "ben@example.org");
		await w.ben.fill("input[type=password]", "eine andere gute Losung");
		await w.ben.click("button[type=submit]");
		await w.ben.getByRole("alert").waitFor();
		await w.ben.context().close();
	});

	test("the audit log can be verified from the page", async () => {
		await page.goto(`${w.url}/admin/audit`);
		await page.locator("tbody tr").first().waitFor();
		await page.getByRole("button", { name: "Verify" }).click();
		await page.getByText(/^Intact:/).waitFor();
		check((await page.locator("tbody tr").count()) > 3, "entries are listed");
	});

	test("the system page warns about the key file and shows the recovery sheet once", async () => {
		await page.goto(`${w.url}/admin/system`);
		await page.getByText("That protects copied data, not a stolen machine.").first().waitFor();
		await page.locator("li .sign").nth(2).waitFor(); // checks are listed
		await page.getByRole("button", { name: "Make recovery sheet" }).click();
		const code = (await page.locator("[data-recovery]").innerText()).trim();
		check(code.length >= 20, "a code");
		await page.getByRole("button", { name: "I have kept it safe" }).click();
		await page.reload();
		await page.getByText("made", { exact: true }).waitFor();
		check(!(await page.content()).includes(code), "the code is not shown again");
	});

	test("the page on load shows what is loaded, and a model can be kept loaded", async () => {
		await page.goto(`${w.url}/admin/load`);
		const card = page.locator("article").first();
		await card.getByText("loaded", { exact: true }).waitFor();
		check((await page.locator("svg.bar rect").count()) >= 2, "memory is drawn in parts");
		check((await card.locator("dl > div").count()) >= 4, "figures of the model");
		const menu = card.getByRole("button", { name: /^Actions for/ });
		const pinned = (await card.getByText("always loaded", { exact: true }).count()) > 0;
		for (const on of [!pinned, pinned]) {
			await menu.click();
			await page.getByRole("menuitem", { name: on ? "Keep it loaded" : "Let it be unloaded" }).click();
			await until(async () => (await card.getByText("always loaded", { exact: true }).count()) > 0 === on, `pinned is shown as ${on}`, 30);
		}
	}, 90);

	test("every page names its controls for screen readers", async () => {
		for (const path of ["/", "/settings", "/settings/keys", "/models", "/models/get", "/models/aliases", "/models/compare", "/admin/load", "/admin/people", "/admin/network", "/admin/audit", "/admin/system"]) {
			await page.goto(w.url + path);
			await page.waitForTimeout(300);
			equal(await unnamed(page), [], path);
		}
		await page.goto(w.url);
		await person.ask(page, w.short);
		const heard = page.locator("[aria-live=polite][aria-atomic=true]");
		await until(async () => /End of the answer\./.test(await heard.innerText()), "the end is announced", 60);
	}, 90);

	test("a log-out in one tab is a log-out in all", async () => {
		const two = await desk.newPage();
		await two.goto(w.url);
		await two.waitForSelector("#composer");
		await page.getByRole("button", { name: /^Account/ }).click();
		await page.getByRole("menuitem", { name: "Sign out" }).click();
		await two.waitForSelector("input[type=password]");
		await person.logIn(two, w.url, w.owner.email, w.owner.password);
		await page.waitForSelector("#composer");
		await two.close();
	});

	return { page: () => page, desk: () => desk };
}

/* Last: whatever happened on any page, nothing broke the rules. */
export function lastTest(w) {
	test("no page broke the content rules, met an error, or asked a foreign host", async () => {
		const broken = [];
		for (const p of w.watch.pages) if (!p.isClosed()) broken.push(...(await w.watch.broken(p)));
		equal([...new Set([...w.watch.trouble, ...broken])], [], "trouble");
	});
}

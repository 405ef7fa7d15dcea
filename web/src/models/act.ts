/* What a person does with a model, from wherever it is shown. What the server refuses is said in
 * its words. */
import { bytes } from "../core/format";
import { usesOf } from "../core/catalogue";
import type { Model } from "../gen/api";
import { call } from "../lib/client";
import { locale, t } from "../lib/i18n/index.svelte";
import { serverText } from "../lib/i18n/server";
import { aliases } from "../lib/state/aliases.svelte";
import { fleet } from "../lib/state/fleet.svelte";
import { models } from "../lib/state/models.svelte";
import { explain, ui } from "../lib/state/ui.svelte";

export const why = (e: unknown): string => explain(e, serverText);
export const fail = (e: unknown): void => ui.fail(e, serverText);

/* Runs it; what goes wrong is told. True: it worked. */
export async function attempt(run: () => Promise<unknown>): Promise<boolean> {
	try {
		await run();
		return true;
	} catch (e) {
		fail(e);
		return false;
	}
}

export async function pull(name: string, as?: string): Promise<boolean> {
	return attempt(async () => models.put(await call("team_pull", { body: as ? { name, as } : { name } })));
}

export async function makeDefault(m: Model): Promise<void> {
	await attempt(async () => {
		await call("team_model_default", { body: { name: m.name } });
		await models.load();
		ui.say("models.default.set", { name: m.name });
	});
}

export async function load(m: Model): Promise<void> {
	if (await attempt(() => call("team_model_load", { params: { name: m.name } }))) await fleet.load();
}
export async function unload(m: Model): Promise<void> {
	if (await attempt(() => call("team_model_unload", { params: { name: m.name } }))) await fleet.load();
}
export async function pin(m: Model, on: boolean): Promise<void> {
	if (await attempt(() => call(on ? "team_pin" : "team_unpin", { params: { name: m.name } }))) await fleet.load();
}

/* A model that an alias names is deleted only by who was told so. */
export async function remove(m: Model): Promise<boolean> {
	const uses = usesOf(m.digest, aliases.list).map((u) => `${u.alias} (${t(`channel.${u.channel}`)})`);
	const used = uses.length > 0;
	const text = used ? t("models.delete.used", { names: uses.join(", ") }) : t("models.delete.text", { size: bytes(m.size, locale.language) });
	if (!(await ui.ask({ title: t("models.delete.title", { name: m.name }), text, confirm: t(used ? "models.delete.force" : "delete"), danger: true }))) return false;
	return attempt(async () => {
		await call("team_model_delete", { params: { name: m.name }, ...(used ? { query: { force: 1 } } : {}) });
		await Promise.all([models.load(), models.loadEverything()]);
	});
}

/* What can be done with a conversation, for its row and for the head of the page. */
import type { Conversation } from "../gen/api";
import type { MenuItem } from "../ui/Menu.svelte";
import { t } from "./i18n/index.svelte";
import { chats } from "./state/chats.svelte";
import { ui } from "./state/ui.svelte";

async function remove(c: Conversation): Promise<void> {
	const title = c.title || t("chat.untitled");
	const yes = await ui.ask({ title: t("chat.delete.title"), text: t("chat.delete.text", { title }), confirm: t("delete"), danger: true });
	if (!yes) return;
	try {
		await chats.remove(c.id);
		ui.say("chat.deleted");
	} catch (e) {
		ui.fail(e);
	}
}

const save = (c: Conversation, as: "md" | "json") => import("./save").then((m) => m.save(c, as)).catch((e: unknown) => ui.fail(e));

export function conversationActions(c: Conversation, rename: () => void): Array<MenuItem | "line"> {
	return [
		{ label: t("rename"), icon: "edit", run: () => setTimeout(rename) },
		"line",
		{ label: t("export.markdown"), icon: "download", run: () => void save(c, "md") },
		{ label: t("export.json"), icon: "download", run: () => void save(c, "json") },
		...(chats.open?.id === c.id ? [{ label: t("export.print"), icon: "print" as const, run: () => setTimeout(() => print()) }] : []),
		"line",
		{ label: t("delete"), icon: "trash", danger: true, run: () => void remove(c) },
	];
}

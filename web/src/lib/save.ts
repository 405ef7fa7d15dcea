/* Writing a conversation into a file on the person's own machine. */
import { fileName, toJson, toMarkdown } from "../core/export";
import { dateTime } from "../core/format";
import { path } from "../core/tree";
import type { Conversation } from "../gen/api";
import { call } from "./client";
import { locale, t } from "./i18n/index.svelte";
import { chats } from "./state/chats.svelte";
import { session } from "./state/session.svelte";
import { ui } from "./state/ui.svelte";

function give(name: string, type: string, text: string): void {
	const url = URL.createObjectURL(new Blob([text], { type }));
	const link = document.createElement("a");
	link.href = url;
	link.download = name;
	link.click();
	setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/* Markdown has the branch that is shown, JSON all of them. */
export async function save(c: Conversation, as: "md" | "json"): Promise<void> {
	try {
		const r = await call("team_conversation", { params: { id: c.id } });
		const now = Date.now();
		const title = r.conversation.title || t("chat.untitled");
		if (as === "json") return give(fileName(title, as, now), "application/json", toJson(r.conversation, r.messages, now));
		const shown = path(r.messages, chats.open?.id === c.id ? chats.open.choice : new Map()).map((s) => s.message);
		const words = {
			untitled: t("chat.untitled"),
			question: t("export.question"),
			answer: (model: string) => t("export.answer", { name: model }),
			picture: (n: number) => t("export.picture", { n }),
			stopped: t("chat.stopped"),
			failed: t("chat.broken"),
			note: (date: string) => t("export.note", { date, name: session.instance?.name || "Tresor" }),
			date: (ms: number) => dateTime(ms, locale.language),
		};
		give(fileName(title, as, now), "text/markdown", toMarkdown(r.conversation, shown, words, now));
	} catch (e) {
		ui.fail(e);
	}
}
